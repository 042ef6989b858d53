import fc from 'fast-check'
import { expect, test } from 'vitest'
import { describeStderr } from '../../../driver/credentials/provider-stderr.ts'

function describeText(text: string, env = {}): string | undefined {
  return describeStderr(Buffer.from(text), env)
}

test.each([
  ['the last line alone', 'first\nsecond', 'second'],
  ['not empty ones after it', 'first\n\r\n  \n', 'first'],
  [
    'the line of an error before it',
    'I1121 13:11:13.318225    9411 main.go:155] Getting creds\nE1121 13:11:13.346735    9411 main.go:349] no role found\nbye',
    'E1121 13:11:13.346735    9411 main.go:349] no role found',
  ],
  ['no control characters', 'a\u001b[31mred\u0007', 'a [31mred'],
  ['a host name as it is', 'no such host 123456789012.dkr.ecr.eu-west-1.amazonaws.com', null],
  ['a path as it is', 'cannot open /var/lib/kubelet/credential-providers/config.json', null],
  ['the user of a URL not', 'GET https://u:hunter2@ghcr.io/x', 'GET https://[hidden]@ghcr.io/x'],
  ['the query of a URL not', 'GET https://h/x?sig=a&b=c failed', 'GET https://h/x?[hidden] failed'],
  [
    'a bearer token not',
    'sent "Authorization: Bearer abc.def"',
    'sent "Authorization: Bearer [hidden]',
  ],
  ['what follows "password" not', 'password=hunter2 wrong', 'password=[hidden] wrong'],
  ['nor in quotes', 'access_token: "a b c" is old', 'access_token: [hidden] is old'],
  ['nor in JSON', '{"clientSecret":"hunter2"}', '{"clientSecret":[hidden]}'],
  [
    'a web token not',
    'got eyJhbGciOiJSUzI1NiIsImtpZCI6.eyJzdWIiOiIxMjM0NTY3ODkw.c2lnbmF0dXJlLWlzLWhlcmUx back',
    'got [hidden] back',
  ],
  ['a key in base64 not', 'key wJalrXUtnFEMI1K7MDENGbPxRfiCYEXAMPLEKEY', 'key [hidden]'],
])('shows %s', (_, text, shown) => {
  expect(describeText(text)).toBe(shown ?? text)
})

test('does not show what a variable of the program holds', () => {
  expect(describeText('key S3cr3tKey is wrong in eu', { KEY: 'S3cr3tKey', REGION: 'eu' })).toBe(
    'key [hidden] is wrong in eu',
  )
})

test('cuts a long line, and has nothing to say of nothing', () => {
  expect(describeText('no '.repeat(101))).toBe(`${'no '.repeat(100)}...`)
  expect(describeText(' \n')).toBe(undefined)
})

test('no secret of 20 letters and digits is shown, wherever it stands', () => {
  const secret = fc.stringMatching(/^[A-Za-z0-9]{20,60}$/).filter((text) => /\d/.test(text))
  fc.assert(
    fc.property(fc.string(), secret, fc.string(), (before, hidden, after) => {
      expect(describeText(`x${before} ${hidden} ${after}`) ?? '').not.toContain(hidden)
    }),
  )
})
