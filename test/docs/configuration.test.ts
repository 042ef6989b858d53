import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { createHosts } from '../../common/oci/hosts.ts'
import { parseHostsFile } from '../../common/oci/hosts-file.ts'
import { parsePolicy } from '../../common/policy/parse-policy.ts'
import { isJsonObject } from '../../webhook/json.ts'
import { CHECKOUT } from '../manifests/manifest-objects.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { everyBlock } from './blocks.ts'

test.each([...everyBlock('policy')])('policy/%s is a policy', (_, { text }) => {
  expect(parsePolicy(text).rules).not.toEqual([])
})

const hostsFiles = everyBlock('hosts')

test.each([...hostsFiles])('hosts/%s is a hosts.toml of which all counts', (_, { text }) => {
  const { sections, warnings } = parseHostsFile(text, { path: 'hosts.toml' })
  expect(warnings).toEqual([])
  expect(sections).not.toEqual([])
})

describe('mirrors.md: over an air gap', () => {
  const rolesOf = async (name: string) => {
    await using directory = await temporaryDirectory()
    await mkdir(directory.file('ghcr.io'))
    const text = hostsFiles.get(name)?.text ?? ''
    await writeFile(directory.file('ghcr.io/hosts.toml'), text)
    const { hosts } = await createHosts({ directory: directory.path }).lookup('ghcr.io')
    return hosts.map((host) => ({
      base: 'base' in host && host.base,
      proves: host.authoritative,
      takesCredentials: host.kind === 'registry' && host.takesCredentials,
    }))
  }

  test('mirrors that an admin vouches for prove access, and are sent no credentials', async () => {
    expect(await rolesOf('air-gap-mirrors')).toEqual([
      { base: 'https://one.inside.example.com/v2', proves: true, takesCredentials: false },
      { base: 'https://two.inside.example.com/v2', proves: true, takesCredentials: false },
      { base: 'https://ghcr.io/v2', proves: true, takesCredentials: true },
    ])
  })

  test('a server proves access, and is sent the credentials', async () => {
    expect(await rolesOf('air-gap')).toEqual([
      { base: 'https://registry.inside.example.com/v2', proves: true, takesCredentials: true },
    ])
  })

  test('a mirror alone does neither', async () => {
    expect(await rolesOf('mirror')).toEqual([
      { base: 'https://mirror.example.com/v2', proves: false, takesCredentials: false },
      { base: 'https://ghcr.io/v2', proves: true, takesCredentials: true },
    ])
  })
})

describe('values of the chart', () => {
  test.each([...everyBlock('values')])(
    'values/%s are values that the chart has',
    async (_, { text }) => {
      const known: unknown = parse(await readFile(join(CHECKOUT, 'chart/values.yaml'), 'utf8'))
      expect(unknownKeys(parse(text), known)).toEqual([])
    },
  )
})

describe('kustomizations', () => {
  test.each([...everyBlock('kustomization')])(
    'kustomization/%s names what is in manifests/',
    (_, { text }) => {
      const found = parse(text)
      const named = [...(found.resources ?? []), ...(found.components ?? [])].map(String)
      const ours = named.filter((path) => path.startsWith('oras-csi/'))
      expect(ours).not.toEqual([])
      const missing = ours.filter(
        (path) => !existsSync(join(CHECKOUT, path.replace('oras-csi/', ''))),
      )
      expect(missing).toEqual([])
    },
  )
})

/** The paths of what is written and not known. An empty object or list of the chart takes anything. */
function unknownKeys(value: unknown, known: unknown, path = ''): readonly string[] {
  if (!isJsonObject(value) || !isJsonObject(known) || Object.keys(known).length === 0) return []
  return Object.entries(value).flatMap(([key, child]) => {
    const name = path === '' ? key : `${path}.${key}`
    return key in known ? unknownKeys(child, known[key], name) : [name]
  })
}
