import { CodedError } from '../common/errors.ts'
import { durationMs, type FlagTable, type FlagValues } from '../common/flags.ts'
import { type AccessRules, DEFAULT_ACCESS_RULES } from './pull/access-rules.ts'

/** A timer's delay is at most 2^31 - 1 milliseconds. */
const MAX_TIMER_MS = 2 ** 31 - 1

function timerMs(value: string): number {
  const ms = durationMs(value)
  if (ms < 1 || ms > MAX_TIMER_MS) throw new CodedError('INVALID', 'expected 1ms to 500h')
  return ms
}

/** The flags that say how long a registry's word about access counts. */
export const ACCESS_FLAGS = {
  'access-max-age': {
    value: 'DURATION',
    doc: 'how long a node remembers that credentials may read an artifact; later, one small request asks again, and a registry that does not answer then stops the pod; 0s asks each time',
    default: '24h',
    parse: durationMs,
  },
  'refusal-memory': {
    value: 'DURATION',
    doc: 'how long a refusal of a registry (401, 403, 404) is remembered for the same reference and credentials',
    default: '10s',
    parse: durationMs,
  },
  'registry-patience': {
    value: 'DURATION',
    doc: 'how long a registry is waited for that is asked what a tag means now, when the node has what it last meant for these credentials',
    default: '10s',
    parse: timerMs,
  },
} as const satisfies FlagTable

/** Reads {@link ACCESS_FLAGS}. */
export function accessRulesOf(values: FlagValues<typeof ACCESS_FLAGS>): AccessRules {
  return {
    ...DEFAULT_ACCESS_RULES,
    maxAgeMs: values['access-max-age'],
    refusalMs: values['refusal-memory'],
    patienceMs: values['registry-patience'],
  }
}
