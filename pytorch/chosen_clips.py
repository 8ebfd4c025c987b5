"""What a saved model says of a few clips."""

import numpy as np

from pytorch.checkpoint import load_model
from pytorch.compute import choose_compute
from pytorch.data_generator import Standardizer, chosen
from pytorch.evaluation import predict
from pytorch.stage_inputs import load_scalar
from utils import config
from utils.audio.feature_file import Features
from utils.scoring.validation import Probabilities
from utils.workspace.paths import Run, Workspace


def probabilities_of_clips(
    workspace: Workspace, run: Run, iteration: int, weights: str, features: Features, indexes: np.ndarray
) -> Probabilities:
    """Run the model that a run had at an iteration over the clips at the ascending indexes."""
    compute = choose_compute(False, config.precision)
    model = load_model(workspace, run, iteration, weights, compute.device)
    standardize = Standardizer.of(load_scalar(workspace, run.mini_data), compute.device)
    return predict(model, chosen(features, indexes), standardize, compute)
