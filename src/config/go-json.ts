/**
 * Reads JSON objects the way Go's encoding/json fills a struct, because flannel's configuration is read that way and
 * its users have files that rely on it: keys match whatever their case, unknown keys are ignored, the last of two wins,
 * null leaves the default. Errors carry Go's wording. Pure.
 */

/** The text is what Go would have said. */
export class GoJsonError extends Error {
  override readonly name = 'GoJsonError';
}

export interface GoStruct {
  /** As Go prints it: `subnet.Config`, or empty for an anonymous struct. */
  readonly name: string;
  /** As Go prints the whole type in an error about the value itself. */
  readonly type: string;
}

/** The fields that one JSON object sets in one Go struct. */
export class GoFields {
  readonly #struct: GoStruct;
  readonly #fields = new Map<string, unknown>();

  constructor(value: unknown, struct: GoStruct) {
    this.#struct = struct;
    if (value === null) return;
    if (typeof value !== 'object' || Array.isArray(value))
      throw new GoJsonError(`json: cannot unmarshal ${kindOf(value)} into Go value of type ${struct.type}`);
    for (const [key, field] of Object.entries(value)) this.#fields.set(fold(key), field);
  }

  /** Undefined where the key is absent; null is a value here. */
  raw(key: string): unknown {
    return this.#fields.get(fold(key));
  }

  /** As if the key stood last in the text. */
  set(key: string, value: unknown): void {
    this.#fields.set(fold(key), value);
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.raw(key) ?? fallback;
    if (typeof value !== 'boolean') throw this.#mismatch(key, value, 'bool');
    return value;
  }

  text(key: string, fallback: string): string {
    const value = this.raw(key) ?? fallback;
    if (typeof value !== 'string') throw this.#mismatch(key, value, 'string');
    return value;
  }

  int(key: string, fallback: number): number {
    const value = this.raw(key) ?? fallback;
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw this.#mismatch(key, value, 'int');
    return value + 0; // -0 becomes 0
  }

  uint(key: string, fallback: number): number {
    const value = this.raw(key) ?? fallback;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
      throw this.#mismatch(key, value, 'uint');
    return value + 0;
  }

  #mismatch(key: string, value: unknown, type: string): GoJsonError {
    const kind =
      typeof value === 'number' && type !== 'bool' && type !== 'string' ? `number ${value}` : kindOf(value);
    const name = this.#struct.name.slice(this.#struct.name.lastIndexOf('.') + 1);
    return new GoJsonError(
      `json: cannot unmarshal ${kind} into Go struct field ${name}.${key} of type ${type}`,
    );
  }
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}

/** Go's simple case folding: besides the plain cases, the long s is an s (and the Kelvin sign, lower-cased, a k). */
function fold(key: string): string {
  return key.toLowerCase().replaceAll('\u017f', 's');
}
