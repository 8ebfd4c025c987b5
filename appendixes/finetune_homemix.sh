#!/usr/bin/env bash
# Fine-tuning against training from random weights, on 30 clips of two classes that the first training has
# not seen, by the recipe. Three seeds of each. Prints the results table of the six trainings.
#
#   bash appendixes/finetune_homemix.sh HOMEMIX OUTPUT      folders of the data set and for all that is made
set -eu -o pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
homemix=$1
output=$2
PYTHON=${PYTHON:-"$project/.venv/bin/python"}
CLASSES=${CLASSES:-Frog,Chicken}     # held out from the first training
CLIPS=${CLIPS:-30}                # to fine-tune on
BEFORE_ITERATIONS=${BEFORE_ITERATIONS:-1000}  # of the recipe, 24 clips each
AFTER_ITERATIONS=${AFTER_ITERATIONS:-300}     # of 10 clips: 100 times all 30
SEEDS=${SEEDS:-1 2 3}

SED_CONFIG=$project/appendixes/homemix_config.py "$PYTHON" "$project/appendixes/finetune_datasets.py" \
    --dataset_dir "$homemix" --output_dir "$output" --classes "$CLASSES" --clips "$CLIPS"
for part in before after; do
    echo "evaluation_interval = 100" >> "$output/$part.py"
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
        --data_type train_synthetic --holdout_fold 1 --model_type Crnn_8layers_AttentionPooling \
        --loss_type recipe "$@"
}

features before
features after
train before "$BEFORE_ITERATIONS" --batch_size 24
initial=$(find "$output/workspace_before/checkpoints" -name "md_${BEFORE_ITERATIONS}_iters.pth")
for seed in $SEEDS; do
    train after "$AFTER_ITERATIONS" --batch_size 10 --seed "$seed"
    train after "$AFTER_ITERATIONS" --batch_size 10 --seed "$seed" --initial_checkpoint "$initial"
done
SED_CONFIG=$output/after.py "$PYTHON" "$project/utils/plot_results.py" table --workspace "$output/workspace_after"
