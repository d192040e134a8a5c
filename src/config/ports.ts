/** Where agents listen, UDP and TCP, unless `--port` says otherwise: what an address without a port means. */
export const DEFAULT_PORT = 6473;
