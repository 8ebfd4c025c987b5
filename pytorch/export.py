"""Takes a trained detector elsewhere: as an ONNX file, with a model card."""

import argparse
import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from pytorch.chosen_model import ChosenModel, add_model_arguments, choose_model
from pytorch.compute import choose_compute
from pytorch.detector import StoredDetector
from pytorch.model_card import model_card
from pytorch.onnx_file import write_onnx
from utils.config import SETTINGS
from utils.system import command_line
from utils.system.files import written_whole
from utils.system.log import logger, start_logging

CARD_SUFFIX = ".md"
CARD_NAME = f"detector{CARD_SUFFIX}"


def export_onnx(arguments: argparse.Namespace) -> None:
    """Write an ONNX file, and a model card beside it."""
    start_logging()
    model = choose_model(arguments)
    detector = load_in_float32(model)
    difference = write_onnx(arguments.output, detector, model.variant.weights)
    logger.info(f"Detector written to {arguments.output}")
    logger.info(f"Checked in onnxruntime: at most {difference:.1e} from the pipeline's probabilities")
    write_card(arguments.output.with_suffix(CARD_SUFFIX), model, detector)


def export_card(arguments: argparse.Namespace) -> None:
    """Write a model card."""
    start_logging()
    model = choose_model(arguments)
    path = arguments.output or model.checkpoint.with_name(CARD_NAME)
    write_card(path, model, load_in_float32(model))


def load_in_float32(model: ChosenModel) -> StoredDetector:
    """Load the detector on the processor."""
    compute = choose_compute(cuda=False, precision="fp32")
    return model.load(compute, SETTINGS.loop.evaluation_batch_size)


def write_card(path: Path, model: ChosenModel, detector: StoredDetector) -> None:
    """Write the model card of a detector, unless there is one, which may have been filled in."""
    if path.exists():
        logger.info(f"Model card {path} is kept as it is; remove it to have a new one")
        return
    with written_whole(path) as unfinished:
        unfinished.write_text(model_card(model, detector), encoding="utf-8")
    logger.info(f"Model card written to {path}; fill in what is left open there")


def main() -> None:
    parser = command_line.new_parser(__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    onnx = command_line.add_command(
        commands,
        "onnx",
        export_onnx,
        summary="checkpoint -> ONNX file, which needs nothing of this project, and a model card",
        example="python pytorch/export.py onnx --checkpoint_path md_5000_iters.pth --output detector.onnx",
    )
    card = command_line.add_command(
        commands,
        "card",
        export_card,
        summary="checkpoint -> model card: data, labels, settings, scores",
        example="python pytorch/export.py card --checkpoint_path md_5000_iters.pth",
    )
    for command in (onnx, card):
        add_model_arguments(command)
    onnx.add_argument(
        "--output",
        type=Path,
        required=True,
        help="file to write, such as detector.onnx; the card goes beside it",
    )
    card.add_argument(
        "--output", type=Path, help=f"file to write; without it {CARD_NAME} beside the checkpoint"
    )
    command_line.run(parser)


if __name__ == "__main__":
    main()
