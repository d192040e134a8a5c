/** The bounds of everything a user, a file or a peer can hand to configuration and leases, each with its reason. */

/** A network configuration is a few hundred bytes; flannel's etcd refuses 1.5 MB, nobody needs more than this. */
export const CONFIG_BYTES_MAX: number = 64 << 10;
/** subnet.env has six short lines. */
export const SUBNET_FILE_BYTES_MAX: number = 64 << 10;
/** agent.json holds sixteen options. */
export const AGENT_OPTIONS_BYTES_MAX: number = 64 << 10;
/** `--iface` and `--iface-regex` given that many times. */
export const REPEATED_OPTIONS_MAX = 32;

/** 0 is legal for the kernel but is what a device that takes any VNI has; with more digits the name of the device,
 *  `flannel.<VNI>`, would not fit the kernel's 15 characters. */
export const VNI_MIN = 1;
export const VNI_MAX = 9_999_999;
/** The same for `flannel-v6.<VNI>`, which a network with IPv6 has. */
export const VNI_IPV6_MAX = 9_999;
export const PORT_MAX = 65_535;
/** Every IPv4 host accepts 576 bytes (RFC 791); the kernel's devices end at 65535. */
export const MTU_MIN = 576;
export const MTU_MAX = 65_535;
/** With less than 1280 bytes (RFC 8200) in the tunnel, which takes 70, the kernel runs no IPv6 on its device. */
export const TUNNEL_MTU_IPV6_MIN: number = 1_280 + 70;
/** What the kernel listens on when a vxlan device names no port. */
export const VXLAN_PORT = 8472;

/** `--iptables-resync`: a day; events repair sooner anyway. */
export const RESYNC_SECONDS_MAX = 86_400;
/** flannel's: one minute to one minute less than the lifetime. */
export const RENEW_MARGIN_MINUTES_MIN = 1;
export const RENEW_MARGIN_MINUTES_MAX = 1_439;

/** One command of the log, as JSON. Raft's own bound on an entry is 1 MiB. */
export const COMMAND_BYTES_MAX: number = 1 << 20;
/** The state machine's snapshot travels in one frame of 16 MiB. */
export const STATE_BYTES_MAX: number = 16 << 20;
/** Hosts of one cluster: a /12 of /24 subnets, and what a full replica on each host is meant for. */
export const MEMBERS_MAX = 4_096;
/** Leases can outnumber members while moved hosts drain their old ones. */
export const LEASES_MAX: number = 2 * MEMBERS_MAX;
export const RESERVATIONS_MAX = 4_096;
/** Past this the subnet that was released first counts as never used. */
export const RELEASED_MAX = 4_096;
export const TOKENS_MAX = 256;
/** Ten years: longer is a wish for no limit, and revoking exists. */
export const TOKEN_TTL_MS_MAX: number = 10 * 366 * 24 * 3_600_000;
export const TOKEN_USES_MAX = 1_000_000;
/** Voters are 1, 3, 5 or 7. */
export const PEERS_MAX = 64;
/** Previous subnets a host may ask for: data directory, subnet.env, docker0. */
export const PREVIOUS_SUBNETS_MAX = 8;
/** Answers to requests are remembered this long and no more of them than this. */
export const ANSWERS_MAX = 1_024;
/** Host names as people write them: letters, digits, dots, dashes, underscores; starts with a letter or digit. */
export const NAME_PATTERN: RegExp = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
