#!/bin/sh
# Predicts images whose truth is known, and fails if the mean Dice of the foreground is below MIN_DICE.
set -eu
"${NNUNET:-nnunet}" predict_from_modelfolder -m "$MODEL" -i "$IMAGES" -o "$OUT" -f "${FOLD:-all}" --report "$OUT.report.json"
"${NNUNET:-nnunet}" evaluate_folder "$TRUTH" "$OUT" -djfile "$MODEL/dataset.json" -pfile "$MODEL/plans.json" --min-dice "$MIN_DICE"
