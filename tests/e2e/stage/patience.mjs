// How long anything is waited for before it has failed: far longer than it takes on a slow and busy machine.
export const PATIENCE_MS = 60_000;
