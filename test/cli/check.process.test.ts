import { chmod, readFile, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { createCertificateAuthority } from '../support/certificates.ts'
import { startNode } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { startProcess } from '../support/process.ts'
import { skipUnless } from '../support/skip-unless.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { failure, kubeconfigOf, startClusterApi } from './check-cluster-api.ts'
import { base64, healthyObjects, IMAGE, mountEvent, podIn } from './check-healthy.ts'

/** The official client takes seconds to load on a busy machine, and a driver to start. */
const SLOW = { timeout: 90_000 }

/** Objects whose dates fit today, which a process of its own goes by. */
function objectsOfToday(certificateDays = 80) {
  const objects = healthyObjects()
  // Its certificate is of another day: cert-manager's word for it counts.
  objects.get('Certificate oras-csi/oras-csi-webhook').status = {
    conditions: [{ type: 'Ready', status: 'True' }],
    notBefore: new Date(Date.now() - 3_600_000).toISOString(),
    notAfter: new Date(Date.now() + certificateDays * 86_400_000 + 3_600_000).toISOString(),
  }
  return objects
}

const NO_SECRETS = { forbidden: ['secrets'] }

async function run(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  await using cli = startProcess({ args: ['cli/main.ts', 'check', ...args], env })
  const { code } = await cli.exited
  const of = (stream: string) =>
    cli.lines.filter((line) => line.stream === stream).map(({ text }) => text)
  return { code, stdout: of('stdout'), stderr: of('stderr') }
}

describe('oras-csi check', () => {
  test('groups its findings, each with a mark, and exits with 0', SLOW, async () => {
    const objects = [...objectsOfToday().values()]
    await using api = await startClusterApi({ objects, ...NO_SECRETS })
    const { code, stdout, stderr } = await run(['--kubeconfig', api.kubeconfig])
    const until = new Date(Date.now() + 80 * 86_400_000 + 3_600_000).toISOString().slice(0, 10)
    expect(stderr).toStrictEqual([])
    expect(stdout).toStrictEqual([
      'Kubernetes',
      `  ok       ${api.url} answers (context test)`,
      '  ok       The API server has version v1.34.2',
      '  ok       The CSIDriver csi.oras.land is as it must be',
      '',
      'Admission',
      '  ok       MutatingWebhookConfiguration oras-csi is as it must be',
      '  ok       ValidatingWebhookConfiguration oras-csi is as it must be',
      '  ok       ValidatingAdmissionPolicy oras-csi-artifacts-applied is bound, and denies',
      '',
      'Certificate',
      '  ok       MutatingWebhookConfiguration oras-csi has a CA bundle of 1 certificate',
      '  ok       ValidatingWebhookConfiguration oras-csi has a CA bundle of 1 certificate',
      `  ok       The webhook's certificate is valid for 80 days, until ${until}`,
      '',
      'Webhook',
      '  ok       Deployment oras-csi/oras-csi-webhook has 2 of 2 pods ready',
      '  ok       The webhook runs on 2 nodes',
      '  ok       The API server reaches the webhook and trusts it (trial pod in default)',
      '',
      'Driver',
      '  ok       DaemonSet oras-csi-node/oras-csi-driver has 2 of 2 pods ready',
      '  ok       The driver is registered on 2 of 2 nodes that take pods',
      '',
      'Installation',
      '  ok       Pod Security is set for both namespaces',
      `  ok       Webhook and driver run ${IMAGE}`,
      '',
      'Pods and workloads',
      '  ok       1 pod with artifacts, all composed',
      '  ok       No pod waits for a volume of the driver',
      '  ok       0 workloads with annotations of ours, none of which would be denied',
      '',
      'All is well',
    ])
    expect(code).toBe(0)
  })

  test('says below each what to do, counts, and exits with 1 for errors alone', SLOW, async () => {
    const objects = objectsOfToday(3)
    await using warned = await startClusterApi({ objects: [...objects.values()], ...NO_SECRETS })
    const warning = await run(['--kubeconfig', warned.kubeconfig])
    expect([warning.code, warning.stdout.at(-1)]).toStrictEqual([0, '1 warning'])

    objects.delete('CSIDriver csi.oras.land')
    await using broken = await startClusterApi({ objects: [...objects.values()], ...NO_SECRETS })
    const { code, stdout } = await run(['--kubeconfig', broken.kubeconfig])
    expect(stdout.slice(3, 5)).toStrictEqual([
      '  error    There is no CSIDriver csi.oras.land',
      '           -> kubectl apply -k manifests/ (or helm upgrade --install)',
    ])
    expect([code, stdout.at(-1)]).toStrictEqual([1, '1 error, 1 warning'])

    const json = await run(['--kubeconfig', broken.kubeconfig, '-o', 'json'])
    const { counts, groups } = JSON.parse(json.stdout.join('\n'))
    expect(counts).toStrictEqual({ ok: 17, warning: 1, error: 1 })
    expect(groups[0].title).toBe('Kubernetes')
    expect(groups[0].findings.at(-1)).toStrictEqual({
      severity: 'error',
      message: 'There is no CSIDriver csi.oras.land',
      todo: 'kubectl apply -k manifests/ (or helm upgrade --install)',
    })
    expect(json.code).toBe(1)
  })

  test('waits until there are no errors, also for an API server that is away', SLOW, async () => {
    let away = 2
    let broken = 2
    const objects = objectsOfToday()
    await using api = await startClusterApi({
      ...{ objects: [...objects.values()], ...NO_SECRETS },
      instead: (path) => {
        if (path === '/version' && away-- > 0) return failure(503, 'the server is starting')
        if (path.includes('/csidrivers/') && broken-- > 0) return failure(404, 'not found')
        return undefined
      },
    })
    const { code, stdout } = await run(['--kubeconfig', api.kubeconfig, '--wait', '60s'])
    expect([code, stdout.at(-1)]).toStrictEqual([0, 'All is well'])
    expect([away, broken]).toStrictEqual([-3, -1])
  })

  test(
    'the attack: names, messages and events with escape sequences do not reach the terminal, nor a shell',
    SLOW,
    async () => {
      const objects = objectsOfToday()
      const evil = '\u001b[2J\u001b]0;owned\u0007\u009b1m\u202e\r\n  ok       All is well'
      const pod = podIn('apps', `$(reboot);'${evil}`, { 'oras.land/status': '{}' })
      const said = `MountVolume.SetUp failed for volume "oras-app" : ${evil}`
      objects.set('Pod evil', pod)
      objects.set('Event evil', mountEvent(pod, said, '2026-06-01T11:59:00Z'))
      objects.get('Node node-2').metadata.name = `node${evil}`
      const deployment = objects.get('Deployment oras-csi/oras-csi-webhook')
      deployment.spec.template.spec.containers[0].image = evil
      await using api = await startClusterApi({
        ...{ objects: [...objects.values()], version: { gitVersion: evil }, ...NO_SECRETS },
        trial: failure(400, evil),
      })
      for (const format of ['text', 'json']) {
        const { code, stdout } = await run(['--kubeconfig', api.kubeconfig, '--output', format])
        expect(code).toBe(1)
        // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
        expect(stdout.filter((line) => /[\u0000-\u001f\u007f-\u009f\u202e]/.test(line))).toEqual([])
        expect(stdout).not.toContain('  ok       All is well')
      }
      const { stdout } = await run(['--kubeconfig', api.kubeconfig])
      const shown = '\\u{1b}[2J\\u{1b}]0;owned\\u{7}\\u{9b}1m\\u{202e} ok       All is well'
      expect(stdout).toContain(
        `  error    Pod apps/$(reboot);'${shown} waits for its artifacts: ${shown}`,
      )
      const start = "           -> kubectl --namespace apps describe pod '$(reboot);'\\''"
      expect(stdout).toContain(`${start}${shown}'`)
    },
  )
})

describe('oras-csi check cannot ask, says why, and exits with 2', () => {
  test('without a kubeconfig, and with one that is none or has no such context', SLOW, async () => {
    await using directory = await temporaryDirectory()
    const path = directory.file('kubeconfig')
    const nothing = await run([], { HOME: directory.path })
    expect(nothing).toStrictEqual({
      code: 2,
      stdout: [],
      stderr: [
        `There is no kubeconfig at ${directory.file('.kube/config')}: name one with --kubeconfig`,
      ],
    })
    await writeFile(path, kubeconfigOf({ url: 'https://127.0.0.1:1', user: {} }))
    expect((await run(['--kubeconfig', path, '--context', 'tes'])).stderr).toStrictEqual([
      `There is no context "tes" in ${path}; did you mean "test"? (kubectl config get-contexts lists them)`,
    ])
    await writeFile(path, 'a: [')
    const malformed = await run(['--kubeconfig', path])
    expect(malformed.code).toBe(2)
    expect(malformed.stderr).toHaveLength(1)
    expect(malformed.stderr[0]).toContain(`Cannot read the kubeconfig "${path}": `)
  })

  test(
    'of a server that does not answer, is not trusted, or does not know the person',
    SLOW,
    async () => {
      await using api = await startClusterApi({ objects: [] })
      await using directory = await temporaryDirectory()
      const path = directory.file('kubeconfig')
      const ca = directory.file('ca.crt')
      const write = async (options: Parameters<typeof kubeconfigOf>[0], authority: string) => {
        await writeFile(path, kubeconfigOf(options))
        await writeFile(ca, authority)
        const { code, stderr } = await run(['--kubeconfig', path])
        return [code, ...stderr]
      }
      expect(await write({ url: 'https://127.0.0.1:1', user: {} }, api.ca)).toStrictEqual([
        2,
        'Cannot ask the API server at https://127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1',
      ])
      const other = await createCertificateAuthority()
      expect((await write({ url: api.url, user: {} }, other.cert))[1]).toContain('certificate')
      expect(await write({ url: api.url, user: { token: 'old' } }, api.ca)).toStrictEqual([
        2,
        'The API server does not accept your credentials: Unauthorized',
      ])
    },
  )
})

test(
  'logs in as kubectl does: by an exec plug-in, in one of the files of $KUBECONFIG',
  SLOW,
  async () => {
    const objects = [...objectsOfToday().values()]
    await using api = await startClusterApi({ objects, ...NO_SECRETS })
    await using directory = await temporaryDirectory()
    const plugin = directory.file('log-in')
    const credential = {
      apiVersion: 'client.authentication.k8s.io/v1',
      kind: 'ExecCredential',
      status: { token: 'check-token' },
    }
    await writeFile(
      plugin,
      `#!/bin/sh\necho "$KUBERNETES_EXEC_INFO" > "$0.info"\necho '${JSON.stringify(credential)}'\n`,
    )
    await chmod(plugin, 0o755)
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: plugin,
      provideClusterInfo: true,
    }
    const path = directory.file('kubeconfig')
    await writeFile(path, kubeconfigOf({ url: api.url, user: { exec } }))
    await writeFile(directory.file('ca.crt'), api.ca)
    const { code, stdout, stderr } = await run([], {
      KUBECONFIG: `${directory.file('not-there')}:${path}:${api.kubeconfig}`,
    })
    expect([code, stdout.at(-1), stderr]).toStrictEqual([0, 'All is well', []])
    expect(JSON.parse(await readFile(`${plugin}.info`, 'utf8'))).toStrictEqual({
      kind: 'ExecCredential',
      apiVersion: 'client.authentication.k8s.io/v1',
      spec: {
        interactive: false,
        cluster: {
          server: api.url,
          'insecure-skip-tls-verify': false,
          'certificate-authority-data': base64(api.ca),
        },
      },
    })
  },
)

describe('oras-csi check --node', () => {
  test('looks at registries, store and driver of this node', SLOW, async (context) => {
    skipUnless(context, await whyNoMounts())
    await using node = await startNode()
    const args = [
      ...['--node', '--hosts-directory', node.hostsDirectory],
      ...['--store-directory', node.storeDirectory],
    ]
    const look = async () => {
      const { code, stdout } = await run(args)
      const lines = stdout.map((line) =>
        line
          .replaceAll(node.hostsDirectory, 'HOSTS')
          .replaceAll(node.storeDirectory, 'STORE')
          .replace(/ (?:ok {5}|warning) {2}The store's file system has .*/, ' ok       SPACE'),
      )
      return { code, lines: lines.filter((line) => !line.includes('cache prune')).slice(0, -2) }
    }
    expect(await look()).toStrictEqual({
      code: 1,
      lines: [
        'Registries',
        '  ok       There is no HOSTS: registries are asked by their own names',
        '',
        'Store',
        '  error    There is no store at "STORE": run this on a node with the driver, and name its --store-directory if it has one',
        '           -> kubectl --namespace oras-csi-node get pods --output wide',
      ],
    })

    {
      await using _ = await node.startDriver()
      await node.configure('reg.test:5000', 'server = "https://reg.test:5000"')
      expect(await look()).toStrictEqual({
        code: 0,
        lines: [
          'Registries',
          '  ok       The settings of 1 registry in HOSTS can be read',
          '',
          'Store',
          '  ok       The store STORE can be read: 0 trees, 0 views, 0 blobs',
          '  ok       SPACE',
          '  ok       The driver answers on its admin socket',
        ],
      })
    }

    await node.configure('reg.test:5000', 'skip_verfy = true')
    await node.configure('broken.test', 'server = ')
    const { code, lines } = await look()
    expect(code).toBe(1)
    expect(lines.slice(0, 5)).toStrictEqual([
      'Registries',
      expect.stringMatching(/^ {2}error {4}Pulls from broken\.test fail: .*hosts\.toml/),
      '           -> oras-csi registry check broken.test/REPOSITORY:TAG',
      '  warning  HOSTS/reg.test_5000_/hosts.toml: line 1: "skip_verfy" is not a setting and has no effect; did you mean "skip_verify"?',
      '           -> oras-csi registry check reg.test:5000/REPOSITORY:TAG',
    ])
    expect(lines.slice(-2)).toStrictEqual([
      '  error    The driver does not answer on its admin socket: No driver has the store "STORE" open: only it may change what is in there',
      '           -> kubectl --namespace oras-csi-node logs --selector app.kubernetes.io/component=driver',
    ])
  })
})
