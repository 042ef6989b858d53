import { RequestFailure } from '../../../common/oci/request-failure.ts'

const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/**
 * Writes the head of a GET request.
 *
 * @throws RequestFailure for a header that would break out of its line; the message does not hold its value, which may be a secret
 */
export function writeRequestHead(url: URL, headers: Readonly<Record<string, string>>): string {
  const lines = [`GET ${url.pathname}${url.search} HTTP/1.1`, `host: ${url.host}`]
  for (const [name, value] of Object.entries(headers)) {
    if (!NAME.test(name) || !VALUE.test(value)) {
      throw new RequestFailure('INVALID', `header ${JSON.stringify(name)} cannot be sent`)
    }
    lines.push(`${name}: ${value}`)
  }
  return `${lines.join('\r\n')}\r\n\r\n`
}
