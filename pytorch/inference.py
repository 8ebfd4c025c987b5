"""Detects events with a trained model, in validation clips or any recordings; tunes and scores its events."""

import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from pytorch.predict import PREDICT_DESCRIPTION, add_predict_arguments, predict
from pytorch.score import add_score_arguments, score
from pytorch.tune import add_tune_arguments, tune_post_processing
from pytorch.validate import add_validate_arguments, validate
from utils.config import SETTINGS
from utils.system import command_line


def main() -> None:
    defaults = SETTINGS.defaults
    parser = command_line.new_parser(__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    validation = command_line.add_command(
        commands,
        "inference_validation",
        validate,
        summary="checkpoint -> submission, scores and figures of the validation clips",
        example="python pytorch/inference.py inference_validation --dataset_dir demo_dataset "
        "--workspace workspace/stages --data_type train_weak --holdout_fold 1 --batch_size 8 --iteration 20",
    )
    add_validate_arguments(validation, defaults)
    tuning = command_line.add_command(
        commands,
        "tune",
        tune_post_processing,
        summary="checkpoint -> post-processing of each class with the best event F1 on training clips",
        example="python pytorch/inference.py tune --dataset_dir demo_dataset --workspace workspace/stages "
        "--data_type train_weak --holdout_fold 1 --batch_size 8 --iteration 20 --tune_on train_synthetic",
    )
    add_tune_arguments(tuning, defaults)
    prediction = command_line.add_command(
        commands,
        "predict",
        predict,
        summary="checkpoint and recordings of any length -> events",
        description=PREDICT_DESCRIPTION,
        example="python pytorch/inference.py predict --checkpoint_path md_5000_iters.pth recordings a.mp3 "
        "--output_dir events --format csv,audacity",
    )
    add_predict_arguments(prediction, defaults)
    scoring = command_line.add_command(
        commands,
        "score",
        score,
        summary="submission or score files, and reference -> scores",
        example="python pytorch/inference.py score --submission_csv events/events.csv "
        "--reference_csv demo_dataset/metadata/validation/validation.csv",
    )
    add_score_arguments(scoring)
    command_line.run(parser)


if __name__ == "__main__":
    main()
