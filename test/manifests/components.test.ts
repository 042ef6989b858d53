import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { locateHosts, readHostsDirectory } from '../../common/oci/hosts-directory.ts'
import { parseHostsFile } from '../../common/oci/hosts-file.ts'
import { readProxies } from '../../common/oci/proxy.ts'
import { loadPolicy } from '../../common/policy/policy-file.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { argsOf, at, CHECKOUT, objectNamed, readObjects } from './manifest-objects.ts'

const run = promisify(execFile)
const DIRECTORY = join(CHECKOUT, 'manifests/components')
const names = (await readdir(DIRECTORY, { withFileTypes: true }))
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)

const textOf = (path: string) => readFile(join(DIRECTORY, path), 'utf8')

describe('the components', () => {
  test('have a line each in the README', async () => {
    const rows = [...(await textOf('README.md')).matchAll(/^\| \[(\S+)\]\((\S+)\) +\|/gm)]
    expect(rows.map(([, name]) => name).sort()).toEqual(names.sort())
    expect(rows.map(([, , target]) => target).sort()).toEqual(names)
  })

  test.each(names)('%s says in its first line what it is for', async (name) => {
    expect(await textOf(`${name}/kustomization.yaml`)).toMatch(/^# \S/)
    const [kustomization] = await readObjects(`components/${name}/kustomization.yaml`)
    expect(kustomization).toMatchObject({ kind: 'Component' })
  })

  test('bring files that our own readers take, without a warning', async () => {
    const mirror = parseHostsFile(await textOf('registry-mirror/hosts.toml'), { path: 'mirror' })
    expect(mirror.warnings).toEqual([])
    expect(mirror.sections.map(({ url }) => url)).toEqual([
      { kind: 'registry', base: 'https://mirror.example.com/v2' },
      undefined,
    ])
    const layout = parseHostsFile(await textOf('oci-layout/hosts.toml'), { path: 'layout' })
    expect(layout.warnings).toEqual([])
    const [mounted] =
      (await textOf('oci-layout/kustomization.yaml')).match(/(?<=mountPath: ).*/) ?? []
    expect(layout.sections.map(({ url }) => url)).toEqual([
      { kind: 'layout-directory', directory: mounted },
    ])
    const { policy } = await loadPolicy(join(DIRECTORY, 'policy/policy.yaml'))
    expect(policy.default).toBe('deny')
    const env = Object.fromEntries(
      (await textOf('proxy/proxy.env'))
        .trimEnd()
        .split('\n')
        .map((line) => line.split('=')),
    )
    const { proxyFor } = readProxies(env)
    expect(proxyFor(new URL('https://ghcr.io/'))).toBe('http://proxy.example.com:3128/')
    expect(proxyFor(new URL('https://registry.acme.svc/'))).toBeUndefined()
    expect(proxyFor(new URL('https://10.1.2.3:5000/'))).toBeUndefined()
  })
})

describe('a hosts.toml from a ConfigMap', () => {
  test('is found, and found again when the kubelet brings another version', async () => {
    await using directory = await temporaryDirectory()
    const root = directory.path
    const bring = async (version: number, server: string) => {
      const data = `..version-${version}`
      await mkdir(join(root, data, '_default'), { recursive: true })
      await writeFile(join(root, data, '_default/hosts.toml'), `server = "${server}"\n`)
      await symlink(data, join(root, '..data_tmp'))
      await rename(join(root, '..data_tmp'), join(root, '..data'))
    }
    await bring(1, 'https://one.example.com')
    await symlink('..data/_default', join(root, '_default'))
    const read = async () => {
      const { found } = await locateHosts(root, 'ghcr.io')
      const configuration = found === undefined ? undefined : await readHostsDirectory(found)
      return { version: configuration?.version, url: configuration?.sections.at(-1)?.url }
    }
    const one = await read()
    expect(one.url).toEqual({ kind: 'registry', base: 'https://one.example.com/v2' })
    await bring(2, 'https://two.example.com')
    const two = await read()
    expect(two.url).toEqual({ kind: 'registry', base: 'https://two.example.com/v2' })
    expect(two.version).not.toBe(one.version)
  })
})

describe('the certificate without cert-manager', async () => {
  const objects = await readObjects('components/self-signed/certificate.yaml')
  const job = objectNamed(objects, 'Job oras-csi/oras-csi-certificate')
  const cronJob = objectNamed(objects, 'CronJob oras-csi/oras-csi-certificate')
  const { all, script, flags } = argsOf(
    Object(at(job, 'spec', 'template', 'spec', 'containers', 0)),
  )

  test('is renewed by what has made it', () => {
    expect(at(cronJob, 'spec', 'jobTemplate', 'spec', 'template')).toEqual(
      at(job, 'spec', 'template'),
    )
  })

  test('is made by a program that knows its flags', async () => {
    expect(script).toBe('webhook/self-signed/main.ts')
    const { stdout } = await run(process.execPath, [...all, '--help'], { cwd: CHECKOUT })
    expect(stdout).toContain('Usage: ')
  })

  test('lies in a secret that is empty at first, and that its program and nobody else may read', () => {
    const name = flags.get('secret')
    const secret = objectNamed(objects, `Secret oras-csi/${name}`)
    expect(Object.keys(secret).sort()).toEqual(['apiVersion', 'kind', 'metadata', 'type'])
    expect(at(objectNamed(objects, 'Role oras-csi/oras-csi-certificate'), 'rules')).toEqual([
      { apiGroups: [''], resources: ['secrets'], resourceNames: [name], verbs: ['get', 'patch'] },
    ])
    expect(at(objectNamed(objects, 'ClusterRole oras-csi-certificate'), 'rules')).toEqual([
      {
        apiGroups: ['admissionregistration.k8s.io'],
        resources: ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'],
        resourceNames: [flags.get('configuration')],
        verbs: ['get', 'patch'],
      },
    ])
  })
})
