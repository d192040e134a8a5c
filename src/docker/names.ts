/** The names of Docker's own things and of ours among them. */

/** Docker's default bridge; no other network can have this name. */
export const DEFAULT_BRIDGE = 'bridge';
/** The network of ours. */
export const NETWORK_NAME = 'tsflannel';
