// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the texts are code
import type { Mutant } from './mutant.ts'

const LINT = ['test/cli/lint.test.ts']
const PREVIEW = ['test/cli/preview.test.ts']
const COMPOSED_TEXT = ['test/cli/composed-text.test.ts']
const KRM = ['test/cli/krm.test.ts']

/** What manifests are told to be, and what becomes of them, before any cluster sees them. */
export const CLI_MUTANTS: readonly Mutant[] = [
  {
    name: 'cli: does not read again what it has written',
    file: 'cli/composed-text.ts',
    text: 'if (readsAs(text, after)) return text',
    replacement: 'return text',
    tests: COMPOSED_TEXT,
    only: 'written anew',
  },
  {
    name: 'cli: puts Unix line ends into a file of Windows',
    file: 'cli/composed-text.ts',
    text: "const isWindows = document.text.includes('\\r\\n')",
    replacement: 'const isWindows = false',
    tests: COMPOSED_TEXT,
    only: 'Windows line ends',
  },
  {
    name: 'cli: writes YAML into a file of JSON',
    file: 'cli/composed-text.ts',
    text: 'if (json !== undefined) return json',
    replacement: '',
    tests: COMPOSED_TEXT,
    only: 'that is JSON',
  },
  {
    name: 'cli: takes the empty lines from text that ends with them',
    file: 'cli/yaml-page.ts',
    text: 'return isKept ? end :',
    replacement: 'return',
    tests: COMPOSED_TEXT,
    only: 'end with empty ones',
  },
  {
    name: 'cli: shows a document that would be denied',
    file: 'cli/preview.ts',
    text: "one.denied ? '' : one.text",
    replacement: 'one.text',
    tests: PREVIEW,
    only: 'exits with 1',
  },
  {
    name: 'cli: composes what a policy denies',
    file: 'cli/object-review.ts',
    text: "verdict.kind === 'denied' || refusals.length > 0 ||",
    replacement: "verdict.kind === 'denied' ||",
    tests: KRM,
    only: 'against a policy',
  },
  {
    name: 'cli: looks at the first item of a list only',
    file: 'cli/object-review.ts',
    text: 'const reviewed = items.map(',
    replacement: 'const reviewed = items.slice(0, 1).map(',
    tests: PREVIEW,
    only: 'items of lists',
  },
  {
    name: 'cli: warns of what a controller has copied',
    file: 'cli/object-review.ts',
    text: 'controlled || workload.kind.template.length === 0',
    replacement: 'workload.kind.template.length === 0',
    tests: LINT,
    only: 'a controller has copied',
  },
  {
    name: 'cli: forgets the indentation of a literal block',
    file: 'cli/manifest-place.ts',
    text: 'Math.min(indent + column - 1, here.length)',
    replacement: 'Math.min(column - 1, here.length)',
    tests: LINT,
    only: 'in a literal block',
  },
  {
    name: 'cli: takes the place in quotes with escapes for one in the file',
    file: 'cli/manifest-place.ts',
    text: 'return isAsItIs && line === 1 ?',
    replacement: 'return line === 1 ?',
    tests: LINT,
    only: 'quotes with escapes',
  },
  {
    name: 'cli: lets a message end the command of a workflow',
    file: 'cli/finding-text.ts',
    text: ".replaceAll('\\n', '%0A')",
    replacement: '',
    tests: LINT,
    only: 'no command of GitHub',
  },
  {
    name: 'cli: prints escape sequences of a manifest to the terminal',
    file: 'cli/finding-text.ts',
    text: 'return text.replace(/\\p{Cc}/gu,',
    replacement: 'return text.replace(/(?!)/gu,',
    tests: LINT,
    only: 'does not reach the terminal',
  },
  {
    name: 'cli: says of a template that it is good',
    file: 'cli/manifest.ts',
    text: 'if (!map.flow || !isMap(map.items[0]?.key)) return undefined',
    replacement: 'return undefined',
    tests: LINT,
    only: 'a template is an error',
  },
  {
    name: 'cli: lets warnings pass where they are to fail',
    file: 'cli/lint.ts',
    text: "values.strict || one.severity === 'error'",
    replacement: "one.severity === 'error'",
    tests: LINT,
    only: 'fails for a warning',
  },
  {
    name: 'cli: forgets the results of other functions',
    file: 'cli/krm.ts',
    text: 'results: [...present, ...results]',
    replacement: 'results: [...results]',
    tests: KRM,
    only: 'results that are there',
  },
  {
    name: 'cli: ends well where an item is denied',
    file: 'cli/krm.ts',
    text: 'return results.some(fails) ? 1 : 0',
    replacement: 'return 0',
    tests: KRM,
    only: 'would be denied',
  },
]
