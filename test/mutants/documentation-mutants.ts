import type { Mutant } from './mutant.ts'

const DOCS = ['test/docs/docs.test.ts']
const REFERENCES = ['test/docs/references.test.ts']

/** What the pages of docs/ promise, and who notices when it is wrong. */
export const DOCUMENTATION_MUTANTS: readonly Mutant[] = [
  {
    name: 'docs: a command that nobody runs, and nobody says why',
    file: 'docs/first-artifact.md',
    text: '<!-- run: cluster/first-push -->\n',
    replacement: '',
    tests: DOCS,
  },
  {
    name: 'docs: a command that names a test which does not run it',
    file: 'docs/first-artifact.md',
    text: '<!-- run: cluster/first-clean -->',
    replacement: '<!-- run: cluster/first-clear -->',
    tests: DOCS,
  },
  {
    name: 'docs: a link to a section that is not there',
    file: 'docs/recipes/job.md',
    text: '../operations.md#eviction',
    replacement: '../operations.md#evictions',
    tests: DOCS,
  },
  {
    name: 'docs: a page that no other leads to',
    file: 'docs/README.md',
    text: '[tenants.md](tenants.md)',
    replacement: 'tenants.md',
    tests: DOCS,
  },
  {
    name: 'docs: a deployment that the webhook would deny',
    file: 'docs/recipes/java.md',
    text: '          /app: ghcr.io/acme/hello-jar:v1\n',
    replacement: '          /app: ghcr.io/acme/hello-jar\n',
    tests: ['test/docs/composed.test.ts'],
  },
  {
    name: 'docs: a message that no program says',
    file: 'docs/troubleshooting.md',
    text: 'this node does not have it from an earlier pull',
    replacement: 'this node has lost it since an earlier pull',
    tests: ['test/docs/messages.test.ts'],
  },
  {
    name: 'docs: a value that the chart does not have',
    file: 'docs/install.md',
    text: '  kubeletDirectory: /var/lib/kubelet\n',
    replacement: '  kubeletDir: /var/lib/kubelet\n',
    tests: ['test/docs/configuration.test.ts'],
  },
  {
    name: 'docs: a setting of hosts.toml that has no effect',
    file: 'docs/mirrors.md',
    text: '  dial_timeout = "200ms"',
    replacement: '  dial_time = "200ms"',
    tests: ['test/docs/configuration.test.ts'],
  },
  {
    name: 'docs: an attribute with a default that is not the one',
    file: 'docs/reference-attributes.md',
    text: '| `/` ',
    replacement: '| `lib` ',
    tests: REFERENCES,
  },
  {
    name: 'docs: a field of an entry is left out',
    file: 'docs/reference-annotations.md',
    text: '| `platform` ',
    replacement: '| platform ',
    tests: REFERENCES,
  },
  {
    name: 'docs: a flag that there is not',
    file: 'docs/tenants.md',
    text: '`--access-max-age`',
    replacement: '`--access-age`',
    tests: REFERENCES,
  },
  {
    name: 'docs: another default of a flag',
    file: 'driver/access-flags.ts',
    text: "default: '24h'",
    replacement: "default: '23h'",
    tests: REFERENCES,
  },
]
