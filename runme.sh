#!/usr/bin/env bash
# Runs every stage, from recordings to the results table and the results page. Each variable can be set from the environment:
#
#   bash runme.sh                                        a small demonstration data set, made on the spot
#   DATASET_DIR=... WORKSPACE=... bash runme.sh          a real data set, with the settings of utils/config.py
#   DATASET_DIR=birds bash runme.sh                      an imported one, with its settings: birds/settings.py
#
# Variables: DATASET_DIR WORKSPACE ITERATIONS BATCH_SIZE MODEL_TYPE SEED SEEDS RECIPE_ITERATIONS RECIPE_BATCH_SIZE
# MEAN_TEACHER_ITERATIONS MEAN_TEACHER_BATCH_SIZE HOLDOUT_FOLD GPU_ID NUM_WORKERS RESUME MINI_DATA VISUALIZE
# SED_CONFIG PYTHON; appendixes/commands.md explains them.
set -u -o pipefail

if [ $# -gt 0 ]; then # --help: the comment above
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
    [ "$1" = --help ] || [ "$1" = -h ] && exit
    echo "error: runme.sh takes no arguments, but variables as shown above" >&2
    exit 2
fi

source "$(dirname "${BASH_SOURCE[0]}")/utils/environment.sh"

stage() { # stage NAME COMMAND ...   runs the command and says how long it took; where it fails, stops
    local name=$1 begin=$SECONDS code
    shift
    echo
    echo "=== $name"
    "$@" || {
        code=$?
        case $code in
            130 | 143) echo "runme.sh: stopped in stage '$name'; the same command with RESUME=1 before it goes on from there" >&2 ;;
            *) echo "runme.sh: stage '$name' failed with exit code $code" >&2 ;;
        esac
        exit "$code"
    }
    echo "... $((SECONDS - begin)) s"
}

config_value() { # config_value NAME   prints a value of utils/config.py
    PYTHONPATH="$project" "$PYTHON" -c "from utils import config; print(config.$1)"
}

stage "set-up" prepare_python requirements.txt

# A settings file holds in whatever folder a stage runs; an imported data set has one of its own.
OWN_DATA=
own_settings="${DATASET_DIR:-}/settings.py"
if [ -f "$own_settings" ] && { [ -z "${SED_CONFIG:-}" ] || [ "$SED_CONFIG" -ef "$own_settings" ]; }; then
    OWN_DATA=1
    SED_CONFIG=$own_settings
    WORKSPACE=${WORKSPACE:-"$project/workspace/$(basename "$DATASET_DIR")"}
    echo "Settings of the data set: $SED_CONFIG"
elif [ -f "$own_settings" ]; then
    echo "Settings: $SED_CONFIG, as SED_CONFIG says, in place of $own_settings"
fi
case ${SED_CONFIG:-} in "" | /*) ;; *) SED_CONFIG=$PWD/$SED_CONFIG ;; esac
export SED_CONFIG="${SED_CONFIG:-}"

# --- Settings ---------------------------------------------------------------------------------------
if [ -z "${DATASET_DIR:-}" ]; then
    DEMO=1
    DATASET_DIR="$project/demo_dataset"
    WORKSPACE=${WORKSPACE:-"$project/workspace/demo"}
    SED_CONFIG=${SED_CONFIG:-"$project/appendixes/demo_settings.py"}
fi
WORKSPACE=${WORKSPACE:-"$project/workspace/full"}
MODEL_TYPE=${MODEL_TYPE:-$(config_value model_type)} || exit
BATCH_SIZE=${BATCH_SIZE:-$(config_value batch_size)} || exit
MEAN_TEACHER_BATCH_SIZE=${MEAN_TEACHER_BATCH_SIZE:-$(config_value mean_teacher_batch_size)} || exit
RECIPE_BATCH_SIZE=${RECIPE_BATCH_SIZE:-$(config_value recipe_batch_size)} || exit
MEAN_TEACHER_ITERATIONS=${MEAN_TEACHER_ITERATIONS:-${ITERATIONS:-$(config_value mean_teacher_iterations)}} || exit
RECIPE_ITERATIONS=${RECIPE_ITERATIONS:-${ITERATIONS:-$(config_value recipe_iterations)}} || exit
ITERATIONS=${ITERATIONS:-$(config_value iterations)} || exit
SEED=${SEED:-$(config_value seed)} || exit
SEEDS=${SEEDS:-$SEED}               # such as "1 2 3": every experiment once with each
HOLDOUT_FOLD=${HOLDOUT_FOLD:-1}     # "none" trains on the validation clips too
NUM_WORKERS=${NUM_WORKERS:--1}      # threads that compute features; -1: one for each processor
GPU_ID=${GPU_ID:-}                  # the GPU to use, as nvidia-smi numbers them; empty: by CUDA_VISIBLE_DEVICES
RESUME=${RESUME:-}                  # not empty: go on with trainings that were stopped or killed
MINI_DATA=${MINI_DATA:-}            # not empty: ten clips of each subset, to try the commands out
VISUALIZE=${VISUALIZE:-$(config_value visualized_clips)} || exit   # clips to draw figures of; 0: none

for name in ITERATIONS RECIPE_ITERATIONS MEAN_TEACHER_ITERATIONS BATCH_SIZE RECIPE_BATCH_SIZE MEAN_TEACHER_BATCH_SIZE; do
    if ! [[ ${!name} =~ ^[1-9][0-9]*$ ]]; then # now, not after hours of features
        echo "error: $name='${!name}' is not a whole number of at least 1" >&2
        exit 2
    fi
done
[ -n "$GPU_ID" ] && export CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=$GPU_ID
options=(--workspace "$WORKSPACE")
[ -n "$MINI_DATA" ] && options+=(--mini_data)
[ "$VISUALIZE" = 0 ] && VISUALIZE=
run_options=("${options[@]}" --dataset_dir "$DATASET_DIR" --holdout_fold "$HOLDOUT_FOLD")
"$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' && run_options+=(--cuda)

# --- Stages -----------------------------------------------------------------------------------------
if [ -n "${DEMO:-}" ] && [ ! -f "$DATASET_DIR/metadata/validation/validation.csv" ]; then
    stage "make the demonstration data set" \
        "$PYTHON" "$project/utils/demo_dataset.py" make --output_dir "$DATASET_DIR" \
        --clip_seconds "$(config_value clip_seconds)"
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
mean_teacher_clips=(train_weak train_synthetic train_unlabel_in_domain)
if [ -z "$OWN_DATA" ]; then
    takes train_weak || echo "There are no weakly labelled clips (metadata/train/weak.csv): trainings on them are left out."
    takes train_synthetic || echo "There are no strongly labelled clips (metadata/train/synthetic.csv): trainings on them are left out."
    takes "${mean_teacher_clips[@]}" ||
        echo "There are no clips of all of ${mean_teacher_clips[*]}: mean teacher is left out."
fi

for data_type in "${data_types[@]}"; do
    stage "features of $data_type" \
        "$PYTHON" "$project/utils/features.py" calculate_feature_for_all_audio_files \
        "${options[@]}" --dataset_dir "$DATASET_DIR" --data_type "$data_type" --num_workers "$NUM_WORKERS"
done

stage "scalar" \
    "$PYTHON" "$project/utils/features.py" calculate_scalar "${options[@]}" --data_type "$scalar_data_type"

experiment() { # experiment DATA_TYPE LOSS_TYPE MODEL_TYPE BATCH_SIZE ITERATIONS   once with each seed
    local run=("${run_options[@]}" --data_type "$1" --loss_type "$2" --model_type "$3" --batch_size "$4")
    local seed name
    for seed in $SEEDS; do
        name="$1, $2"
        [ "$SEEDS" = "$seed" ] || name+=", seed $seed"
        stage "train: $name" \
            "$PYTHON" "$project/pytorch/main.py" train "${run[@]}" --seed "$seed" --iterations "$5" \
            ${RESUME:+--resume}
        stage "validate: $name" \
            "$PYTHON" "$project/pytorch/inference.py" inference_validation "${run[@]}" --seed "$seed" \
            --iteration "$5" ${VISUALIZE:+--visualize "$VISUALIZE"}
    done
}
recipe_clips=()
for data_type in train_weak train_synthetic train_unlabel_in_domain; do
    takes "$data_type" && recipe_clips+=("$data_type")
done
experiment "$(IFS=+ && echo "${recipe_clips[*]}")" recipe Crnn_8layers_AttentionPooling \
    "$RECIPE_BATCH_SIZE" "$RECIPE_ITERATIONS"

# The published systems, for comparison; an imported data set is trained by the recipe alone.
if [ -z "$OWN_DATA" ] && takes train_weak; then
    experiment train_weak clipwise_binary_crossentropy "$MODEL_TYPE" "$BATCH_SIZE" "$ITERATIONS"
fi
if [ -z "$OWN_DATA" ] && takes train_synthetic; then
    experiment train_synthetic clipwise_binary_crossentropy "$MODEL_TYPE" "$BATCH_SIZE" "$ITERATIONS"
    experiment train_synthetic framewise_binary_crossentropy "$MODEL_TYPE" "$BATCH_SIZE" "$ITERATIONS"
fi
if [ -z "$OWN_DATA" ] && takes "${mean_teacher_clips[@]}"; then
    experiment train_weak+train_synthetic+train_unlabel_in_domain mean_teacher Crnn \
        "$MEAN_TEACHER_BATCH_SIZE" "$MEAN_TEACHER_ITERATIONS"
fi

stage "training curves" "$PYTHON" "$project/utils/plot_results.py" training_curves --workspace "$WORKSPACE"
stage "results" "$PYTHON" "$project/utils/plot_results.py" table --workspace "$WORKSPACE"
stage "results page" "$PYTHON" "$project/utils/report.py" --workspace "$WORKSPACE" --dataset_dir "$DATASET_DIR"

echo
echo "=== done in $SECONDS s"
"$PYTHON" "$project/utils/plot_results.py" best --workspace "$WORKSPACE"
