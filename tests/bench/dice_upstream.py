"""Upstream's side of dice_bench.ts: trains fold 0 with nnUNetTrainer on the CPU for few epochs, from a seed, and validates it.

    python dice_upstream.py DATASET CONFIGURATION EPOCHS ITERATIONS SEED THREADS

The folders are those of nnUNet_preprocessed and nnUNet_results. Epochs, iterations and the seed are all that differs from nnUNetTrainer.
"""
import json
import os
import random
import sys


def main():
    import numpy as np
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    dataset, configuration, epochs, iterations, seed, threads = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:7])
    torch.set_num_threads(threads)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)

    def read(name):
        with open(os.path.join(os.environ["nnUNet_preprocessed"], dataset, name)) as file:
            return json.load(file)

    trainer = nnUNetTrainer(read("nnUNetPlans.json"), configuration, 0, read("dataset.json"), device=torch.device("cpu"))
    trainer.num_epochs = epochs
    trainer.num_iterations_per_epoch = iterations
    trainer.num_val_iterations_per_epoch = max(1, iterations // 5)
    trainer.run_training()
    trainer.perform_actual_validation(False)


# The validation's worker processes import this file.
if __name__ == "__main__":
    main()
