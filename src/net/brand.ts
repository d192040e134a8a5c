/** Nominal types over primitives: a value of the brand has passed the parser that makes it. */
declare const brand: unique symbol;
export type Brand<T, N extends string> = T & { readonly [brand]: N };
