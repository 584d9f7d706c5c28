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
