import type { Mutant } from './mutant.ts'

const ENSURE = ['test/webhook/self-signed/ensure-certificate.test.ts']
const SERVING = ['test/webhook/self-signed/serving-certificate.test.ts']
const DER = ['test/webhook/self-signed/der.test.ts']
const MANIFESTS = ['test/manifests/manifests.test.ts']

/** The certificate without cert-manager, and what the manifests promise. */
export const INSTALLATION_MUTANTS: readonly Mutant[] = [
  {
    name: 'takes the API server to have written what it refused',
    file: 'webhook/self-signed/cluster-api.ts',
    text: 'if (status < 300 && isJsonObject(body)) return body',
    replacement: 'if (isJsonObject(body)) return body',
    tests: ENSURE,
    only: 'of whoever writes it first',
  },
  {
    name: 'writes a certificate over one that another Job has just made',
    file: 'webhook/self-signed/ensure-certificate.ts',
    text: 'metadata: { resourceVersion },',
    replacement: '',
    tests: ENSURE,
    only: 'writes it first',
  },
  {
    name: 'stops trusting the old certificate before the pods have the new one',
    file: 'webhook/self-signed/ensure-certificate.ts',
    text: 'const authorities = made.authority + before',
    replacement: 'const authorities = made.authority',
    tests: ENSURE,
    only: 'renewed in time',
  },
  {
    name: 'keeps a certificate until it has ended',
    file: 'webhook/self-signed/ensure-certificate.ts',
    text: 'nowMs + wish.renewBeforeMs',
    replacement: 'nowMs',
    tests: ENSURE,
    only: 'renewed in time',
  },
  {
    name: 'does not tell the API server when the certificate is good',
    file: 'webhook/self-signed/ensure-certificate.ts',
    text: 'await trust(api, wish.configuration, held.authorities)',
    replacement: '',
    tests: ENSURE,
    only: 'applied anew',
  },
  {
    name: "replaces a configuration's webhooks instead of their trust",
    file: 'webhook/self-signed/ensure-certificate.ts',
    text: "await api.patch(path, 'strategic', {",
    replacement: "await api.patch(path, 'merge', {",
    tests: ENSURE,
    only: 'is made where there is none',
  },
  {
    name: 'makes a certificate that may sign others',
    file: 'webhook/self-signed/serving-certificate.ts',
    text: 'extension(OID.basicConstraints, sequence(), true),',
    replacement: 'extension(OID.basicConstraints, sequence(boolean(true)), true),',
    tests: SERVING,
    only: 'another reader',
  },
  {
    name: 'writes a number whose first bit is set as a negative one',
    file: 'webhook/self-signed/der.ts',
    text: '(digits[0] ?? 0) >= 0x80',
    replacement: 'false',
    tests: DER,
  },
  {
    name: 'refuses every workload while the webhook is down',
    file: 'manifests/base/admission.yaml',
    text: 'failurePolicy: Ignore',
    replacement: 'failurePolicy: Fail',
    tests: MANIFESTS,
    only: 'asks the webhook about workloads',
  },
  {
    name: 'lets the whole cluster ask the webhook for its metrics',
    file: 'manifests/base/webhook.yaml',
    text: '    - from:\n        - namespaceSelector:\n            matchLabels:\n              oras.land/scrape: allowed\n      ports:',
    replacement: '    - ports:',
    tests: MANIFESTS,
    only: 'on its admission port alone',
  },
]
