import type { RedisOptions } from 'bullmq';
import { UserError } from '../errors.ts';

/** Where a password is taken from that is not in the address. */
export const PASSWORD_VARIABLE = 'RAAD_REDIS_PASSWORD';

const FIRST_CONNECTIONS = 3;
const CONNECT_TIMEOUT = 5000;
const WRITE = `Write redis://host:port; a password of other characters than letters and digits goes into ${PASSWORD_VARIABLE}.`;

/** How to reach Redis. */
export class RedisAddress {
  /** Host and port: messages never show a password. */
  readonly place: string;
  readonly database: number;
  readonly options: RedisOptions;
  /** Once it was reached, a lost connection is made again for as long as it takes. */
  reached = false;

  /**
   * @param text `redis://[user:password@]host[:port][/database]`, or `rediss:` for TLS
   * @param password for an address without one
   * @throws UserError for what is no address
   */
  constructor(text: string, password = process.env[PASSWORD_VARIABLE]) {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const database = url?.pathname.slice(1) ?? '';
    const isPlain = url && url.search === '' && url.hash === '' && /^\d{0,9}$/.test(database);
    if (!url?.hostname || !['redis:', 'rediss:'].includes(url.protocol) || !isPlain)
      throw new UserError("Redis's address cannot be used.", WRITE);
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    const port = Number(url.port || 6379);
    this.place = `Redis at ${host}:${port}`;
    this.database = Number(database);
    const [user, secret] = [decoded(url.username), decoded(url.password) || password];
    this.options = {
      host,
      port,
      ...(user && { username: user }),
      ...(secret && { password: secret }),
      db: this.database,
      ...(url.protocol === 'rediss:' && { tls: {} }),
      connectTimeout: CONNECT_TIMEOUT,
      retryStrategy: (times) =>
        this.reached || times < FIRST_CONNECTIONS ? Math.min(200 * times, CONNECT_TIMEOUT) : null,
    };
  }
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new UserError(
      "Redis's address has a % in its name or password that stands for nothing.",
      `Write %25 for it, or give the password in ${PASSWORD_VARIABLE}.`,
    );
  }
}
