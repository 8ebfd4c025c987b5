#!/usr/bin/env bash
# Fine-tuning against training from random weights, on 30 clips of two classes that the first training has
# not seen. Three seeds of each. Prints the results table of the six trainings.
#
#   bash appendixes/finetune_homemix.sh HOMEMIX OUTPUT      folders of the data set and for all that is made
set -eu -o pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
homemix=$1
output=$2
PYTHON=${PYTHON:-"$project/.venv/bin/python"}
CLASSES=${CLASSES:-Frog,Chicken}     # held out from the first training
CLIPS=${CLIPS:-30}                # to fine-tune on
MODEL_TYPE=${MODEL_TYPE:-Cnn_9layers_MaxPooling}
BEFORE_ITERATIONS=${BEFORE_ITERATIONS:-400}   # of 16 clips
AFTER_ITERATIONS=${AFTER_ITERATIONS:-150}     # of 10 clips: 50 times all 30
SEEDS=${SEEDS:-1 2 3}

SED_CONFIG=$project/appendixes/homemix_config.py "$PYTHON" "$project/appendixes/finetune_datasets.py" \
    --dataset_dir "$homemix" --output_dir "$output" --classes "$CLASSES" --clips "$CLIPS"
for part in before after; do # the smaller features of appendixes/results.md
    cat >> "$output/$part.py" <<'END'
mel_bins = 32
hop_size = 1000  # samples: 32 frames a second
clip_threshold = 0.9
evaluation_interval = 50
END
done

features() { # features PART
    local place=(--dataset_dir "$output/$1" --workspace "$output/workspace_$1") data_type
    export SED_CONFIG=$output/$1.py
    for data_type in train_synthetic validation; do
        "$PYTHON" "$project/utils/features.py" calculate_feature_for_all_audio_files "${place[@]}" \
            --data_type "$data_type"
    done
    "$PYTHON" "$project/utils/features.py" calculate_scalar --workspace "$output/workspace_$1" \
        --data_type train_synthetic
}

train() { # train PART ITERATIONS OPTION ...
    local part=$1 iterations=$2
    shift 2
    SED_CONFIG=$output/$part.py "$PYTHON" "$project/pytorch/main.py" train --resume \
        --dataset_dir "$output/$part" --workspace "$output/workspace_$part" --iterations "$iterations" \
        --data_type train_synthetic --holdout_fold 1 --model_type "$MODEL_TYPE" \
        --loss_type framewise_binary_crossentropy "$@"
}

features before
features after
train before "$BEFORE_ITERATIONS" --batch_size 16
initial=$(find "$output/workspace_before/checkpoints" -name "md_${BEFORE_ITERATIONS}_iters.pth")
for seed in $SEEDS; do
    train after "$AFTER_ITERATIONS" --batch_size 10 --seed "$seed"
    train after "$AFTER_ITERATIONS" --batch_size 10 --seed "$seed" --initial_checkpoint "$initial"
done
SED_CONFIG=$output/after.py "$PYTHON" "$project/utils/plot_results.py" table --workspace "$output/workspace_after"
