/**
 * The factor on the loss that keeps gradients in f16 from vanishing, by torch.amp.GradScaler's rules: doubled after 2000 good steps in
 * a row, halved after a step that was skipped. Here a step's result counts from the second next step on, so that the next one can be
 * enqueued before the engine has answered; a step that was skipped with a scale already given up halves nothing again.
 */

/** As stored in checkpoints. */
export interface LossScaleState {
  readonly scale: number;
  /** Good steps since the last change. */
  readonly growthTracker: number;
  /** Results that do not count yet. */
  readonly pending: readonly ScaledStep[];
}

export interface ScaledStep {
  /** Number of the step, counted over all epochs. */
  readonly step: number;
  readonly scale: number;
  readonly skipped: boolean;
}

export const GRAD_SCALER = { initial: 65536, growthFactor: 2, backoffFactor: 0.5, growthInterval: 2000 } as const;

export const INITIAL_LOSS_SCALE: LossScaleState = { scale: GRAD_SCALER.initial, growthTracker: 0, pending: [] };

/** The state that step number `step` is done with: results up to the step before the last one count. */
export function lossScaleBefore(state: LossScaleState, step: number): LossScaleState {
  return state.pending.reduce<LossScaleState>((after, result) => {
    return result.step < step - 1 ? { ...counted(after, result), pending: after.pending.slice(1) } : after;
  }, state);
}

/** The state once a step's result is known. */
export function withResult(state: LossScaleState, result: ScaledStep): LossScaleState {
  return { ...state, pending: [...state.pending, result] };
}

function counted({ scale, growthTracker }: LossScaleState, step: ScaledStep): Omit<LossScaleState, "pending"> {
  if (step.skipped) return { scale: step.scale > scale ? scale : scale * GRAD_SCALER.backoffFactor, growthTracker: 0 };
  if (growthTracker + 1 < GRAD_SCALER.growthInterval) return { scale, growthTracker: growthTracker + 1 };
  return { scale: scale * GRAD_SCALER.growthFactor, growthTracker: 0 };
}
