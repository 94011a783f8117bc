"""SHA-256 of each reference model's weights as torch loads them, into shared_models.json: python make_shared_models.py MODELS_FOLDER"""
import hashlib
import json
import sys
from pathlib import Path

import torch

models = Path(sys.argv[1])
result = {}
for file in sorted(models.glob("*/fold_*/*.pth")):
    weights = torch.load(file, map_location="cpu", weights_only=False)["network_weights"]
    own = {k: v for k, v in weights.items() if not k.startswith("decoder.encoder.") and ".all_modules." not in k}
    digest = hashlib.sha256()
    for key in sorted(own):
        digest.update(key.encode() + b" " + own[key].float().contiguous().numpy().tobytes())
    result[str(file.relative_to(models))] = {"count": len(own), "sha256": digest.hexdigest()}
json.dump(result, open(Path(__file__).parent / "shared_models.json", "w"), indent=1)
