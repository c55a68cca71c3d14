/**
 * How this SDK introduces itself.
 */

/** The SDK's name in Hello. */
export const SDK_NAME = "callboard-typescript";
/** The SDK's version, the same as in package.json. */
export const SDK_VERSION = "0.1.0";
/** The host protocol that it speaks. */
export const PROTOCOL = { major: 1, minor: 0 } as const;
