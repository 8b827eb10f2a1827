const events = new EventSource("/events");
const time = document.getElementById("time");
events.onmessage = ({ data }) => {
  time.textContent = data;
};
events.addEventListener("ended", () => {
  // Without this, the browser connects again.
  events.close();
  location.reload();
});
