/** Longer ones are cut: the rest is in the program's own reach. */
const MAX_CHARS = 300
/** Shorter values of variables are words like "true" or "eu-west-1". */
const MIN_SECRET_CHARS = 8

/**
 * What the admin's log may say of a provider's standard error: the line that tells the error, else its last, in printable characters,
 * without anything that looks like a secret: what a variable of the program holds, runs of 20 letters and digits, what follows words
 * such as "token" or "password", the user and query of a URL.
 *
 * The kubelet logs all of it. What a program of a stranger writes after it was refused may be the token it was refused with.
 *
 * @param env the program's environment
 * @returns undefined when it wrote nothing
 */
export function describeStderr(
  bytes: Uint8Array,
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const lines = Buffer.from(bytes)
    .toString('utf8')
    .split(/[\r\n]/)
    .map((text) => text.replace(/[^\x20-\x7e]/g, ' ').trim())
    .filter((text) => text !== '')
  // The clouds' programs log what they do, and then how it failed.
  const line = lines.find((text) => ERROR.test(text)) ?? lines.at(-1)
  if (line === undefined) return undefined
  let text = line
  for (const value of Object.values(env)) {
    if (value !== undefined && value.length >= MIN_SECRET_CHARS) {
      text = text.replaceAll(value, HIDDEN)
    }
  }
  for (const [pattern, shown] of SECRETS) text = text.replace(pattern, shown)
  return text.length > MAX_CHARS ? `${text.slice(0, MAX_CHARS)}...` : text
}

/** Of klog, or in the words that all use. */
const ERROR = /^[EF]\d{4} |error|fail|denied|panic|cannot/i

const HIDDEN = '[hidden]'

const SECRETS: readonly (readonly [pattern: RegExp, shown: string])[] = [
  // https://user:password@host
  [/\/\/[^\s/@]+@/g, `//${HIDDEN}@`],
  // The query of a URL: signatures.
  [/(\/\/[^\s?]*)\?\S+/g, `$1?${HIDDEN}`],
  [/\b(bearer|basic)\s+\S+/gi, `$1 ${HIDDEN}`],
  [
    /([\w-]*(?:pass|token|secret|credential|signature|api-?key|access-?key)[\w-]*["']?\s*[=:]\s*)("[^"]*"?|'[^']*'?|\S+)/gi,
    `$1${HIDDEN}`,
  ],
  // A JSON web token, base64, hex: no dot or slash ends it, and it has digits.
  [/(?=[A-Za-z+=_-]*\d)[A-Za-z0-9+=_-]{20,}(?:\.[A-Za-z0-9+=_-]{20,})*/g, HIDDEN],
]
