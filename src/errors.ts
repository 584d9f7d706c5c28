/**
 * An error caused by the caller's input. The message is one sentence that says what was wrong; `fix` says what to do.
 * Commands print both without a stack trace.
 */
export class UserError extends Error {
  override readonly name: string = 'UserError';
  readonly fix: string | undefined;

  constructor(message: string, fix?: string) {
    super(message);
    this.fix = fix;
  }
}

/** Longest quotation in a message. */
const QUOTED = 60;

/** A value of somebody else's as JSON, shortened, for messages: on one line whatever it holds. */
export function quote(value: unknown): string {
  const text = String(JSON.stringify(value)).replace(/[\u007f-\u009f\u2028\u2029]/g, '?');
  return text.length > QUOTED ? `${text.slice(0, QUOTED)}...` : text;
}
