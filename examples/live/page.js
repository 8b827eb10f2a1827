const time = document.getElementById("time");
const state = document.getElementById("socket");

let open = 2;
function onEnded() {
  open--;
  if (open === 0) location.reload();
}

const events = new EventSource("/events");
events.onmessage = ({ data }) => {
  time.textContent = data;
};
events.addEventListener("ended", () => {
  // Without this, the browser connects again.
  events.close();
  onEnded();
});

const socket = new WebSocket(new URL("/socket", location.href));
socket.onopen = () => socket.send("open");
socket.onmessage = ({ data }) => {
  state.textContent = data;
};
socket.onclose = ({ code }) => {
  state.textContent = `closed with status ${code}`;
  if (code === 4001) onEnded();
};
