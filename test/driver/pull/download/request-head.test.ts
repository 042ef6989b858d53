import { expect, test } from 'vitest'
import { RequestFailure } from '../../../../common/oci/request-failure.ts'
import { writeRequestHead } from '../../../../driver/pull/download/request-head.ts'

test('a request is written with its host, path and query', () => {
  const url = new URL('https://r.example:8443/v2/a b/blobs/x?sig=ä#part')
  expect(writeRequestHead(url, { range: 'bytes=0-4', authorization: 'Bearer t' })).toBe(
    'GET /v2/a%20b/blobs/x?sig=%C3%A4 HTTP/1.1\r\nhost: r.example:8443\r\nrange: bytes=0-4\r\nauthorization: Bearer t\r\n\r\n',
  )
})

test.each([
  ['authorization', 'Bearer secret\r\nx: y'],
  ['authorization', 'Bearer secret\n'],
  ['x y', 'secret'],
  ['x\r\ny', 'secret'],
])('request splitting: header %j is not sent, and its value not shown', (name, value) => {
  const write = () => writeRequestHead(new URL('http://r.example/'), { [name]: value })
  expect(write).toThrow(RequestFailure)
  expect(write).toThrow(`header ${JSON.stringify(name)} cannot be sent`)
  expect(write).not.toThrow('secret')
})
