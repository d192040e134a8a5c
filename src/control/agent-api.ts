/**
 * What the daemon offers to the command line: one function a method of the protocol, in the types of the protocol.
 * The server has checked the parameters. Expected refusals are thrown as TsflannelError and reach the user as they are.
 */
import type { Answer, MethodName, Params } from './protocol.ts';

export interface Call {
  /** Aborted when the caller is gone or its time is over. A method that waits for something must then end: by a refusal
   *  that names what is missing (`no-quorum`, exit 4), else the server says that time is over (exit 8). */
  readonly signal: AbortSignal;
}

export type AgentApi = {
  readonly [M in MethodName]: (params: Params<M>, call: Call) => Promise<Answer<M>>;
};
