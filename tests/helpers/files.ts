/** The files of this repository. */

/** The root of the repository. */
export const ROOT = new URL("../../", import.meta.url);

/**
 * Lists every file of a folder and of the folders in it.
 *
 * @param folder from the root, with a slash at its end
 * @returns paths from the root
 */
export async function* filesIn(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(new URL(folder, ROOT))) {
    if (isDirectory) yield* filesIn(`${folder}${name}/`);
    else yield `${folder}${name}`;
  }
}
