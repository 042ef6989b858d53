/** The bytes cannot come over the caller's own connections: what answers is for the full HTTP client, behind a proxy, or no server at all. */
export class UnfitError extends Error {}
