import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { readManifestFile } from '../../cli/manifest-file.ts'
import {
  ANNOTATION_PREFIX,
  ANNOTATIONS,
  DRIVER_NAME,
} from '../../common/composition/composition.ts'
import { durationMs, listenAddress } from '../../common/flags.ts'
import { isJsonObject, type JsonObject, objectAt, objectsAt, textAt } from '../../webhook/json.ts'
import { statusText } from '../../webhook/status.ts'
import { controllerMadePod, podReview } from '../support/admission-review.ts'
import { openApiServer } from '../support/api-server.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { startProcess, withMessage } from '../support/process.ts'
import { skipUnless, whyNoProgram } from '../support/skip-unless.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { mountSecret } from '../webhook/serving-certificate.ts'
import {
  argsOf,
  at,
  CHECKOUT,
  containerOf,
  objectIn,
  objectName,
  objectNamed,
  readBase,
  readObjects,
  yamlFiles,
} from './manifest-objects.ts'

const run = promisify(execFile)

const base = await readBase()
const [kustomization] = await readObjects('base/kustomization.yaml')
const deployment = objectNamed(base, 'Deployment oras-csi/oras-csi-webhook')
const daemonSet = objectNamed(base, 'DaemonSet oras-csi-node/oras-csi-driver')
const webhookPod = objectIn(deployment, 'spec', 'template')
const driverPod = objectIn(daemonSet, 'spec', 'template')
const webhook = containerOf(deployment)
const driver = containerOf(daemonSet)
const webhookArgs = argsOf(webhook)
const driverArgs = argsOf(driver)
const mutating = objectIn(objectNamed(base, 'MutatingWebhookConfiguration oras-csi'), 'webhooks', 0)
const validating = objectIn(
  objectNamed(base, 'ValidatingWebhookConfiguration oras-csi'),
  'webhooks',
  0,
)
const policy = objectIn(
  objectNamed(base, 'ValidatingAdmissionPolicy oras-csi-artifacts-applied'),
  'spec',
)

describe('the base', () => {
  test('is these objects, with no role among them: neither process asks the API server for anything', () => {
    expect(base.map(objectName).sort()).toEqual([
      `CSIDriver ${DRIVER_NAME}`,
      'Certificate oras-csi/oras-csi-authority',
      'Certificate oras-csi/oras-csi-webhook',
      'DaemonSet oras-csi-node/oras-csi-driver',
      'Deployment oras-csi/oras-csi-webhook',
      'Issuer oras-csi/oras-csi-authority',
      'Issuer oras-csi/oras-csi-self-signed',
      'MutatingWebhookConfiguration oras-csi',
      'Namespace oras-csi',
      'Namespace oras-csi-node',
      'NetworkPolicy oras-csi/oras-csi-webhook',
      'PodDisruptionBudget oras-csi/oras-csi-webhook',
      'ResourceQuota oras-csi-node/critical-pods',
      'ResourceQuota oras-csi/critical-pods',
      'Service oras-csi/oras-csi-webhook',
      'ServiceAccount oras-csi-node/oras-csi-driver',
      'ServiceAccount oras-csi/oras-csi-webhook',
      'ValidatingAdmissionPolicy oras-csi-artifacts-applied',
      'ValidatingAdmissionPolicyBinding oras-csi-artifacts-applied',
      'ValidatingWebhookConfiguration oras-csi',
    ])
  })

  test('lists each of its files', async () => {
    const files = (await yamlFiles('base')).filter((name) => name !== 'kustomization.yaml')
    expect(at(kustomization, 'resources')).toEqual(expect.arrayContaining(files))
    expect(at(kustomization, 'resources')).toHaveLength(files.length)
  })

  test('renders with kubectl to the same objects, one image and one label added', async (context) => {
    skipUnless(context, await whyNoProgram('kubectl'))
    const rendered = await kustomize('.')
    const expected = base.map((object) => withPartOf(withImage(object)))
    expect(sorted(rendered)).toEqual(sorted(expected))
  })

  test('runs the version of package.json in both workloads', async () => {
    const { version } = JSON.parse(await readFile(join(CHECKOUT, 'package.json'), 'utf8'))
    const images = [webhook['image'], driver['image']]
    expect(images).toEqual(['oras-csi', 'oras-csi'])
    expect(at(kustomization, 'images')).toEqual([
      { name: 'oras-csi', newName: 'ghcr.io/oras-csi/oras-csi', newTag: version },
    ])
  })

  test('turns into another kubelet directory, and nothing else, by the overlay for k0s', async (context) => {
    skipUnless(context, await whyNoProgram('kubectl'))
    const moved = JSON.parse(
      JSON.stringify(await kustomize('.')).replaceAll('/var/lib/kubelet', '/var/lib/k0s/kubelet'),
    )
    expect(await kustomize('overlays/k0s')).toEqual(moved)
  })
})

describe('every process', () => {
  test.each([
    { name: 'webhook', args: webhookArgs.all, script: 'webhook/main.ts' },
    { name: 'driver', args: driverArgs.all, script: 'driver/main.ts' },
  ])('knows the flags that the manifest gives the $name', async ({ args, script }) => {
    expect(args[0]).toBe(script)
    // Flags are read in their order: an unknown one fails before --help is seen.
    const { stdout } = await run(process.execPath, [...args, '--help'], { cwd: CHECKOUT })
    expect(stdout).toContain('Usage: ')
  })

  test.each([
    { name: 'webhook', workload: deployment, pod: webhookPod },
    { name: 'driver', workload: daemonSet, pod: driverPod },
  ])('has a $name pod that its workload selects, without a token', ({ workload, pod }) => {
    expect(at(workload, 'spec', 'selector', 'matchLabels')).toEqual(at(pod, 'metadata', 'labels'))
    const spec = objectIn(pod, 'spec')
    const namespace = textAt(objectAt(workload, 'metadata'), 'namespace')
    const account = objectNamed(base, `ServiceAccount ${namespace}/${spec['serviceAccountName']}`)
    expect(account['automountServiceAccountToken']).toBe(false)
    expect(spec['automountServiceAccountToken']).toBe(false)
  })

  test.each([
    { name: 'webhook', container: webhook, args: webhookArgs },
    { name: 'driver', container: driver, args: driverArgs },
  ])('is probed, in the $name, where it answers', ({ container, args }) => {
    const listen = listenAddress(args.flags.get('health-listen') ?? '')
    expect(portNamed(container, 'health')).toBe(listen.port)
    const probe = (path: string) => ({
      port: 'health',
      path,
      ...(listen.host !== '' && { host: listen.host }),
    })
    expect(at(container, 'livenessProbe', 'httpGet')).toEqual(probe('/livez'))
    expect(at(container, 'readinessProbe', 'httpGet')).toEqual(probe('/readyz'))
    expect([probe('/livez'), probe('/readyz')]).toContainEqual(
      at(container, 'startupProbe', 'httpGet'),
    )
  })

  test.each([
    { name: 'webhook', container: webhook, pod: webhookPod },
    { name: 'driver', container: driver, pod: driverPod },
  ])('is scraped by Prometheus, in the $name, on its health port', ({ container, pod }) => {
    expect(at(pod, 'metadata', 'annotations')).toEqual({
      'prometheus.io/scrape': 'true',
      'prometheus.io/port': String(portNamed(container, 'health')),
      'prometheus.io/path': '/metrics',
    })
  })

  test.each([
    { name: 'webhook', pod: webhookPod, namespace: 'oras-csi', level: 'restricted' },
    { name: 'driver', pod: driverPod, namespace: 'oras-csi-node', level: 'privileged' },
  ])('may have the priority of the $name in its namespace', ({ pod, namespace, level }) => {
    const quota = objectNamed(base, `ResourceQuota ${namespace}/critical-pods`)
    expect(at(quota, 'spec', 'scopeSelector', 'matchExpressions', 0, 'values')).toEqual([
      at(pod, 'spec', 'priorityClassName'),
    ])
    const labels = at(objectNamed(base, `Namespace ${namespace}`), 'metadata', 'labels')
    expect(labels).toHaveProperty(['pod-security.kubernetes.io/enforce'], level)
  })
})

describe('the webhook', () => {
  test('answers reviews at the path, under the name and with the flags that the manifests give', async () => {
    const certificate = objectNamed(base, 'Certificate oras-csi/oras-csi-webhook')
    const names = [String(at(certificate, 'spec', 'dnsNames', 0))]
    const service = objectIn(mutating, 'clientConfig', 'service')
    const serverName = `${service['name']}.${service['namespace']}.svc`
    const authority = await createCertificateAuthority()
    await using directory = await temporaryDirectory()
    await mountSecret(directory.path, await authority.issue({ names }))
    await using process = startProcess({
      args: webhookArgs.all.map((arg) =>
        arg
          .replace(/^(--(?:health-)?listen)=.*/, '$1=127.0.0.1:0')
          .replace(/^(--certificate-directory)=.*/, `$1=${directory.path}`),
      ),
    })
    const { json } = await process.waitForLine(withMessage('serving'))
    await using api = openApiServer({
      url: `https://127.0.0.1:${json?.['port']}`,
      ca: authority.cert,
      serverName,
    })
    const pod = controllerMadePod({
      annotations: { [ANNOTATIONS.artifacts]: '/app: ghcr.io/acme/app:v1' },
      spec: { containers: [{ name: 'java' }] },
    })
    const { response, object } = await api.mutate(String(service['path']), podReview(pod))
    expect(response.allowed).toBe(true)
    expect(at(object, 'spec', 'volumes', 0, 'csi', 'driver')).toBe(DRIVER_NAME)
    for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
      const path = at(webhook, probe, 'httpGet', 'path')
      const answer = await fetch(`http://127.0.0.1:${json?.['healthPort']}${path}`)
      expect([probe, answer.status]).toEqual([probe, 200])
    }
  })

  test('is behind its service, on its admission port alone', () => {
    const service = objectNamed(base, 'Service oras-csi/oras-csi-webhook')
    const labels = at(webhookPod, 'metadata', 'labels')
    expect(at(service, 'spec')).toEqual({
      selector: labels,
      ports: [{ name: 'admission', port: 443, targetPort: 'admission' }],
    })
    expect(at(mutating, 'clientConfig', 'service')).toMatchObject({
      name: at(service, 'metadata', 'name'),
      namespace: at(service, 'metadata', 'namespace'),
      port: at(service, 'spec', 'ports', 0, 'port'),
    })
    const listen = listenAddress(webhookArgs.flags.get('listen') ?? '')
    expect(portNamed(webhook, 'admission')).toBe(listen.port)
    expect(at(objectNamed(base, 'NetworkPolicy oras-csi/oras-csi-webhook'), 'spec')).toEqual({
      podSelector: { matchLabels: labels },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        { ports: [{ port: 'admission', protocol: 'TCP' }] },
        {
          from: [{ namespaceSelector: { matchLabels: { 'oras.land/scrape': 'allowed' } } }],
          ports: [{ port: 'health', protocol: 'TCP' }],
        },
      ],
      egress: [],
    })
    expect(at(objectNamed(base, 'PodDisruptionBudget oras-csi/oras-csi-webhook'), 'spec')).toEqual({
      maxUnavailable: 1,
      unhealthyPodEvictionPolicy: 'AlwaysAllow',
      selector: { matchLabels: labels },
    })
  })

  test('gets the certificate that cert-manager writes, from an authority that the API server is told of', () => {
    const certificate = objectNamed(base, 'Certificate oras-csi/oras-csi-webhook')
    const [volume] = objectsAt(objectAt(webhookPod, 'spec'), 'volumes')
    expect(volume).toEqual({
      name: 'certificate',
      secret: {
        secretName: at(certificate, 'spec', 'secretName'),
        items: [
          { key: 'tls.crt', path: 'tls.crt' },
          { key: 'tls.key', path: 'tls.key' },
        ],
      },
    })
    expect(webhook['volumeMounts']).toEqual([
      {
        name: 'certificate',
        mountPath: webhookArgs.flags.get('certificate-directory'),
        readOnly: true,
      },
    ])
    for (const kind of ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration']) {
      expect(at(objectNamed(base, `${kind} oras-csi`), 'metadata', 'annotations')).toEqual({
        'cert-manager.io/inject-ca-from': 'oras-csi/oras-csi-webhook',
      })
    }
    // Certificate <- Issuer <- its secret <- Certificate of the authority <- Issuer.
    const issuer = objectNamed(base, issuerOf(certificate))
    const authority = objectNamed(base, 'Certificate oras-csi/oras-csi-authority')
    expect(at(issuer, 'spec', 'ca', 'secretName')).toBe(at(authority, 'spec', 'secretName'))
    expect(at(authority, 'spec', 'isCA')).toBe(true)
    expect(at(objectNamed(base, issuerOf(authority)), 'spec')).toEqual({ selfSigned: {} })
  })

  test('runs as Pod Security "restricted" wants it, and ends after its grace', () => {
    const spec = objectIn(webhookPod, 'spec')
    expect(spec['securityContext']).toEqual({
      runAsNonRoot: true,
      runAsUser: 65532,
      runAsGroup: 65532,
      seccompProfile: { type: 'RuntimeDefault' },
    })
    expect(webhook['securityContext']).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    const graceMs = durationMs(webhookArgs.flags.get('shutdown-grace') ?? '')
    expect(Number(spec['terminationGracePeriodSeconds']) * 1000).toBeGreaterThan(graceMs + 10_000)
  })
})

describe('admission', () => {
  test('calls the webhook for new pods with an annotation of ours, and fails without it', () => {
    const { clientConfig, ...rest } = mutating
    expect(rest).toEqual({
      name: 'mutate.csi.oras.land',
      admissionReviewVersions: ['v1'],
      rules: [
        {
          apiGroups: [''],
          apiVersions: ['v1'],
          resources: ['pods'],
          operations: ['CREATE'],
          scope: 'Namespaced',
        },
      ],
      matchPolicy: 'Equivalent',
      failurePolicy: 'Fail',
      reinvocationPolicy: 'IfNeeded',
      sideEffects: 'None',
      timeoutSeconds: 5,
      matchConditions: [
        {
          name: 'has-oras-land-annotation',
          expression:
            "has(object.metadata.annotations) && object.metadata.annotations.exists(key, key.startsWith('oras.land/'))",
        },
        {
          name: 'is-no-mirror-pod',
          expression:
            "!has(object.metadata.annotations) || !('kubernetes.io/config.mirror' in object.metadata.annotations)",
        },
      ],
      namespaceSelector: {
        matchExpressions: [
          {
            key: 'kubernetes.io/metadata.name',
            operator: 'NotIn',
            values: ['kube-system', 'kube-node-lease', 'oras-csi', 'oras-csi-node'],
          },
          { key: 'oras.land/inject', operator: 'NotIn', values: ['disabled'] },
        ],
      },
    })
    expect(clientConfig).not.toHaveProperty('caBundle')
  })

  test('asks the webhook about workloads with an annotation of ours, and lets them through without it', () => {
    const { clientConfig, matchConditions, ...rest } = validating
    const rule = (apiGroup: string, resources: readonly string[]) => ({
      apiGroups: [apiGroup],
      apiVersions: ['v1'],
      resources,
      operations: ['CREATE', 'UPDATE'],
      scope: 'Namespaced',
    })
    expect(rest).toEqual({
      name: 'validate.csi.oras.land',
      admissionReviewVersions: ['v1'],
      rules: [
        rule('apps', ['deployments', 'statefulsets', 'daemonsets', 'replicasets']),
        rule('batch', ['jobs', 'cronjobs']),
      ],
      matchPolicy: 'Equivalent',
      failurePolicy: 'Ignore',
      sideEffects: 'None',
      timeoutSeconds: 3,
      namespaceSelector: mutating['namespaceSelector'],
    })
    expect(clientConfig).toEqual({
      service: {
        ...objectIn(mutating, 'clientConfig', 'service'),
        path: '/validate-workload',
      },
    })
    // What it matches, test/peers/admission.peer.ts asks a real API server.
    expect(matchConditions).toHaveLength(1)
    expect(String(at(matchConditions, 0, 'expression'))).toContain(
      `startsWith('${ANNOTATION_PREFIX}')`,
    )
  })

  test('denies an annotated pod that the webhook has not seen, by what the webhook really writes', () => {
    const { matchConditions, validations, ...rest } = policy
    expect(rest).toEqual({
      failurePolicy: 'Fail',
      matchConstraints: {
        matchPolicy: 'Equivalent',
        resourceRules: mutating['rules'],
      },
    })
    expect(at(matchConditions, 0, 'expression')).toContain(
      `'${ANNOTATIONS.artifacts}' in object.metadata.annotations`,
    )
    expect(at(matchConditions, 1)).toEqual(at(mutating, 'matchConditions', 1))
    const expression = String(at(validations, 0, 'expression'))
    expect(expression).toContain(`'${ANNOTATIONS.status}' in object.metadata.annotations`)
    expect(expression).toContain(`['${ANNOTATIONS.status}'] == '${statusText([], [])}'`)
    expect(expression).toContain(`volume.csi.driver == '${DRIVER_NAME}'`)
    const binding = objectNamed(base, 'ValidatingAdmissionPolicyBinding oras-csi-artifacts-applied')
    expect(at(binding, 'spec')).toEqual({
      policyName: 'oras-csi-artifacts-applied',
      validationActions: ['Deny'],
    })
  })
})

describe('the driver', () => {
  test('is announced so that the kubelet treats its volumes right', () => {
    const object = objectNamed(base, `CSIDriver ${DRIVER_NAME}`)
    expect(at(object, 'metadata', 'labels')).toEqual({
      'security.openshift.io/csi-ephemeral-volume-profile': 'restricted',
    })
    expect(at(object, 'spec')).toEqual({
      volumeLifecycleModes: ['Ephemeral'],
      attachRequired: false,
      podInfoOnMount: true,
      fsGroupPolicy: 'None',
      requiresRepublish: false,
      seLinuxMount: false,
      storageCapacity: false,
    })
  })

  test('sees the paths of the node under the same names, and shares its mounts below pods/ alone', () => {
    const kubelet = driverArgs.flags.get('kubelet-directory')
    const hosts = driverArgs.flags.get('hosts-directory')
    expect(driver['volumeMounts']).toEqual([
      { name: 'pods', mountPath: `${kubelet}/pods`, mountPropagation: 'Bidirectional' },
      { name: 'plugin', mountPath: `${kubelet}/plugins/${DRIVER_NAME}` },
      { name: 'registration', mountPath: `${kubelet}/plugins_registry` },
      { name: 'hosts', mountPath: hosts, readOnly: true },
    ])
    const paths = new Map(
      objectsAt(driver, 'volumeMounts').map(({ name, mountPath }) => [name, mountPath]),
    )
    const volumes = objectsAt(objectAt(driverPod, 'spec'), 'volumes')
    for (const volume of volumes) {
      expect(at(volume, 'hostPath', 'path')).toBe(paths.get(volume['name']))
    }
    expect(volumes.map((volume) => at(volume, 'hostPath', 'type'))).toEqual([
      'Directory',
      'DirectoryOrCreate',
      'Directory',
      'DirectoryOrCreate',
    ])
    expect(driver['securityContext']).toEqual({
      privileged: true,
      runAsUser: 0,
      runAsGroup: 0,
      readOnlyRootFilesystem: true,
    })
  })

  test('keeps its sockets and its store in what the manifest mounts, and is alive before it is ready', async () => {
    await using kubelet = await temporaryDirectory()
    const within = (path: unknown) =>
      String(path).replace(String(driverArgs.flags.get('kubelet-directory')), kubelet.path)
    for (const mount of objectsAt(driver, 'volumeMounts').slice(0, 3)) {
      await mkdir(within(mount['mountPath']), { recursive: true })
    }
    await using process = startProcess({
      args: driverArgs.all.map((arg) =>
        within(arg).replace(/(--health-listen)=.*/, '$1=127.0.0.1:0'),
      ),
      env: { NODE_NAME: 'node-1' },
    })
    const { json } = await process.waitForLine(withMessage('serving'))
    const plugin = within(at(driver, 'volumeMounts', 1, 'mountPath'))
    expect([json?.['socket'], json?.['node']]).toEqual([join(plugin, 'csi.sock'), 'node-1'])
    const { stdout } = await run('find', [kubelet.path, '-mindepth', '1', '-maxdepth', '3'])
    const made = stdout
      .trimEnd()
      .split('\n')
      .map((path) => path.slice(kubelet.path.length + 1))
    expect(made.sort()).toEqual([
      'plugins',
      'plugins/csi.oras.land',
      'plugins/csi.oras.land/csi.sock',
      'plugins/csi.oras.land/store',
      'plugins_registry',
      'plugins_registry/csi.oras.land-reg.sock',
      'pods',
    ])
    const answers = await Promise.all(
      ['livenessProbe', 'readinessProbe'].map((probe) =>
        fetch(`http://127.0.0.1:${json?.['healthPort']}${at(driver, probe, 'httpGet', 'path')}`),
      ),
    )
    expect(answers.map(({ status }) => status)).toEqual([200, 503])
  })

  test('runs on every Linux node, in its network, named after it', () => {
    const spec = objectIn(driverPod, 'spec')
    expect(spec).toMatchObject({
      hostNetwork: true,
      dnsPolicy: 'ClusterFirstWithHostNet',
      priorityClassName: 'system-node-critical',
      nodeSelector: { 'kubernetes.io/os': 'linux' },
      tolerations: [{ operator: 'Exists' }],
    })
    expect(driver['env']).toEqual([
      { name: 'NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
    ])
    expect(at(daemonSet, 'spec', 'updateStrategy')).toEqual({
      type: 'RollingUpdate',
      rollingUpdate: { maxUnavailable: '10%' },
    })
    expect(driver['resources']).toEqual({
      requests: { cpu: '50m', memory: '192Mi', 'ephemeral-storage': '1Gi' },
      limits: { memory: '4Gi' },
    })
  })
})

async function kustomize(folder: string): Promise<readonly JsonObject[]> {
  const { stdout } = await run('kubectl', ['kustomize', join(CHECKOUT, 'manifests', folder)])
  await using directory = await temporaryDirectory()
  const file = directory.file('rendered.yaml')
  await writeFile(file, stdout)
  return (await readManifestFile(file, async () => '')).objects
}

function portNamed(container: JsonObject, name: string): unknown {
  return objectsAt(container, 'ports').find((port) => port['name'] === name)?.['containerPort']
}

function issuerOf(certificate: JsonObject): string {
  const { kind, name } = objectIn(certificate, 'spec', 'issuerRef')
  return `${kind} oras-csi/${name}`
}

function sorted(objects: readonly JsonObject[]): readonly JsonObject[] {
  return objects.toSorted((a, b) => (objectName(a) < objectName(b) ? -1 : 1))
}

/** What `labels:` of the kustomization adds. */
function withPartOf(object: JsonObject): JsonObject {
  const metadata = objectAt(object, 'metadata')
  const labels = objectAt(metadata, 'labels')
  return {
    ...object,
    metadata: { ...metadata, labels: { ...labels, 'app.kubernetes.io/part-of': 'oras-csi' } },
  }
}

/** What `images:` of the kustomization replaces. */
function withImage(object: JsonObject): JsonObject {
  const { newName, newTag } = objectIn(kustomization, 'images', 0)
  const replaced: unknown = JSON.parse(
    JSON.stringify(object).replaceAll('"image":"oras-csi"', `"image":"${newName}:${newTag}"`),
  )
  return isJsonObject(replaced) ? replaced : {}
}
