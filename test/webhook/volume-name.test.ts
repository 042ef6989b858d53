import { expect, test } from 'vitest'
import { type NameRequest, nameVolumes } from '../../webhook/volume-name.ts'

const request = (mountPath: string, wanted?: string): NameRequest => ({
  place: { path: mountPath },
  mountPath,
  identity: mountPath,
  ...(wanted !== undefined && { wanted }),
})
const LONG = `/${'a'.repeat(62)}`

test.each<[string, NameRequest[], string[]]>([
  ['a slug of the mount path', [request('/opt/My App_1')], ['oras-opt-my-app-1']],
  ['the wanted name', [request('/opt/app', 'x')], ['oras-x']],
  [
    'a hash where two paths have one slug',
    [request('/a/b'), request('/a-b')],
    ['oras-a-b', 'oras-a-b-cf1d6fe9'],
  ],
  [
    'a hash where a wanted name is the slug, whichever comes first',
    [request('/app'), request('/x', 'app')],
    ['oras-app-a9cb556c', 'oras-app'],
  ],
  ['a hash where there is nothing to make a slug of', [request('/___')], ['oras-1badb817']],
  ['63 characters at most', [request(LONG)], [`oras-${'a'.repeat(58)}`]],
  [
    '63 characters at most, hash and all',
    [request(LONG), request(`${LONG}b`)],
    [`oras-${'a'.repeat(58)}`, `oras-${'a'.repeat(49)}-3ed5fa20`],
  ],
  ['no dash at the end of a cut', [request(`/${'a'.repeat(57)}/b`)], [`oras-${'a'.repeat(57)}`]],
])('names a volume: %s', (_name, requests, expected) => {
  expect(nameVolumes(requests)).toStrictEqual(expected)
  for (const name of expected) expect(name).toMatch(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/)
})
