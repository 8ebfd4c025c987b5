#!/usr/bin/env bash
# Runs every stage, from recordings to the results table and the results page. Each variable can be set from the environment:
#
#   bash runme.sh                                        a small demonstration data set, made on the spot
#   DATASET_DIR=... WORKSPACE=... bash runme.sh          a real data set, with the settings of utils/config.py
set -u -o pipefail

source "$(dirname "${BASH_SOURCE[0]}")/utils/environment.sh"

stage() { # stage NAME COMMAND ...   runs the command; where it fails, names the stage and stops
    local name=$1 code
    shift
    echo
    echo "=== $name"
    "$@" || {
        code=$?
        echo "runme.sh: stage '$name' failed with exit code $code" >&2
        exit "$code"
    }
}

config_value() { # config_value NAME   prints a value of utils/config.py
    PYTHONPATH="$project" "$PYTHON" -c "from utils import config; print(config.$1)"
}

stage "set-up" prepare_python requirements.txt

# --- Settings ---------------------------------------------------------------------------------------
if [ -z "${DATASET_DIR:-}" ]; then
    DEMO=1
    DATASET_DIR="$project/demo_dataset"
    WORKSPACE=${WORKSPACE:-"$project/workspace/demo"}
    BATCH_SIZE=${BATCH_SIZE:-8}     # small, as the demonstration has few clips ...
    ITERATIONS=${ITERATIONS:-120}   # ... and few, so that two processor cores are enough
    MEAN_TEACHER_BATCH_SIZE=${MEAN_TEACHER_BATCH_SIZE:-8}
fi
WORKSPACE=${WORKSPACE:-"$project/workspace/full"}
MODEL_TYPE=${MODEL_TYPE:-$(config_value model_type)} || exit
BATCH_SIZE=${BATCH_SIZE:-$(config_value batch_size)} || exit
MEAN_TEACHER_BATCH_SIZE=${MEAN_TEACHER_BATCH_SIZE:-$(config_value mean_teacher_batch_size)} || exit
ITERATIONS=${ITERATIONS:-$(config_value iterations)} || exit
SEED=${SEED:-$(config_value seed)} || exit
SEEDS=${SEEDS:-$SEED}               # such as "1 2 3": every experiment once with each
HOLDOUT_FOLD=${HOLDOUT_FOLD:-1}     # "none" trains on the validation clips too
NUM_WORKERS=${NUM_WORKERS:--1}      # processes that compute features; -1: one for each processor
GPU_ID=${GPU_ID:-}                  # the GPU to use, as nvidia-smi numbers them; empty: by CUDA_VISIBLE_DEVICES
RESUME=${RESUME:-}                  # not empty: go on with trainings that were stopped or killed
MINI_DATA=${MINI_DATA:-}            # not empty: ten clips of each subset, to try the commands out
VISUALIZE=${VISUALIZE:-$(config_value visualized_clips)} || exit   # clips to draw figures of

[ -n "$GPU_ID" ] && export CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=$GPU_ID
options=(--workspace "$WORKSPACE")
[ -n "$MINI_DATA" ] && options+=(--mini_data)
run_options=("${options[@]}" --dataset_dir "$DATASET_DIR" --holdout_fold "$HOLDOUT_FOLD")
"$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' && run_options+=(--cuda)

# --- Stages -----------------------------------------------------------------------------------------
if [ -n "${DEMO:-}" ] && [ ! -f "$DATASET_DIR/metadata/validation/validation.csv" ]; then
    stage "make the demonstration data set" \
        "$PYTHON" "$project/utils/demo_dataset.py" make --output_dir "$DATASET_DIR"
fi

stage "check the data set" "$PYTHON" "$project/utils/metadata.py" check --dataset_dir "$DATASET_DIR"

has_table() { # has_table NAME   tells whether there is metadata/NAME.csv or .tsv
    [ -f "$DATASET_DIR/metadata/$1.csv" ] || [ -f "$DATASET_DIR/metadata/$1.tsv" ]
}

data_types=()
if has_table train/weak || ! has_table train/synthetic; then data_types+=(train_weak); fi
if has_table train/synthetic; then data_types+=(train_synthetic); fi
scalar_data_type=${data_types[0]}
data_types+=(validation)
has_table train/unlabel_in_domain && data_types+=(train_unlabel_in_domain)

takes() { # takes DATA_TYPE ...   tells whether there are clips of all these subsets
    local data_type
    for data_type in "$@"; do
        [[ " ${data_types[*]} " == *" $data_type "* ]] || return
    done
}
takes train_weak || echo "There are no weakly labelled clips (metadata/train/weak.csv): trainings on them are left out."
takes train_synthetic || echo "There are no strongly labelled clips (metadata/train/synthetic.csv): trainings on them are left out."
mean_teacher_clips=(train_weak train_synthetic train_unlabel_in_domain)
takes "${mean_teacher_clips[@]}" ||
    echo "There are no clips of all of ${mean_teacher_clips[*]}: mean teacher is left out."

for data_type in "${data_types[@]}"; do
    stage "features of $data_type" \
        "$PYTHON" "$project/utils/features.py" calculate_feature_for_all_audio_files \
        "${options[@]}" --dataset_dir "$DATASET_DIR" --data_type "$data_type" --num_workers "$NUM_WORKERS"
done

stage "scalar" \
    "$PYTHON" "$project/utils/features.py" calculate_scalar "${options[@]}" --data_type "$scalar_data_type"

experiment() { # experiment DATA_TYPE LOSS_TYPE MODEL_TYPE BATCH_SIZE   once with each seed
    local run=("${run_options[@]}" --data_type "$1" --loss_type "$2" --model_type "$3" --batch_size "$4")
    local seed name
    for seed in $SEEDS; do
        name="$1 $2"
        [ "$SEEDS" = "$seed" ] || name+=", seed $seed"
        stage "train $name" \
            "$PYTHON" "$project/pytorch/main.py" train "${run[@]}" --seed "$seed" --iterations "$ITERATIONS" \
            ${RESUME:+--resume}
        stage "inference $name" \
            "$PYTHON" "$project/pytorch/inference.py" inference_validation "${run[@]}" --seed "$seed" \
            --iteration "$ITERATIONS" --visualize "$VISUALIZE"
    done
}
if takes train_weak; then
    experiment train_weak clipwise_binary_crossentropy "$MODEL_TYPE" "$BATCH_SIZE"
fi
if takes train_synthetic; then
    experiment train_synthetic clipwise_binary_crossentropy "$MODEL_TYPE" "$BATCH_SIZE"
    experiment train_synthetic framewise_binary_crossentropy "$MODEL_TYPE" "$BATCH_SIZE"
fi
if takes "${mean_teacher_clips[@]}"; then
    [ -n "${DEMO:-}" ] && echo "
The baseline needs thousands of iterations to learn; in the demonstration it only shows that it runs."
    experiment train_weak+train_synthetic+train_unlabel_in_domain mean_teacher Crnn "$MEAN_TEACHER_BATCH_SIZE"
fi

stage "training curves" "$PYTHON" "$project/utils/plot_results.py" training_curves --workspace "$WORKSPACE"
stage "results" "$PYTHON" "$project/utils/plot_results.py" table --workspace "$WORKSPACE"
stage "results page" "$PYTHON" "$project/utils/report.py" --workspace "$WORKSPACE" --dataset_dir "$DATASET_DIR"
