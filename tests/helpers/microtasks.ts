/**
 * Waits for a number of microtasks, so that everything can go on that waits for nothing but
 * promises.
 */
export async function microtasks(count = 50): Promise<void> {
  for (let i = 0; i < count; i++) await undefined;
}
