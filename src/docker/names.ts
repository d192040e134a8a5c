/** The names of Docker's own things and of ours among them. */

/** Docker's default bridge; no other network can have this name. */
export const DEFAULT_BRIDGE = 'bridge';
/** The network of ours. */
export const NETWORK_NAME = 'tsflannel';
/** Its device. */
export const NETWORK_DEVICE = 'tsfl0';
/** The bridges that have the lease, or one that was. */
export const LEASE_BRIDGES: readonly string[] = ['docker0', NETWORK_DEVICE];
