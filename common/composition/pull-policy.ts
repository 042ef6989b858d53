import { didYouMean } from '../suggest.ts'
import { alternatives } from './annotation-value.ts'
import type { PullPolicy } from './composition.ts'

const PULL_POLICIES: readonly PullPolicy[] = ['Always', 'IfNotPresent', 'Never']

/** @returns undefined when `text` is no pull policy; the spelling counts */
export function parsePullPolicy(text: string): PullPolicy | undefined {
  return PULL_POLICIES.find((policy) => policy === text)
}

/** Completes "Invalid ...: " for text that is no pull policy. */
export function pullPolicyProblem(text: string): string {
  const hint = didYouMean(text, PULL_POLICIES)
  return `found ${JSON.stringify(text.slice(0, 200))}; expected ${alternatives(PULL_POLICIES)}${hint}`
}
