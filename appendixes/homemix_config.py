"""Settings of the results in appendixes/results.md: as SED_CONFIG, with DATASET_DIR=homemix bash runme.sh"""

labels = ["Speech", "Dog", "Cat", "Bird", "Cow", "Sheep", "Lion", "Frog", "Chicken", "Baby_cry"]
batch_size = 16
iterations = 400
evaluation_interval = 100  # iterations; often enough for a training curve
recipe_batch_size = 24
recipe_iterations = 2000
mean_teacher_iterations = 2000
clip_threshold = 0.9  # as in the reference system's last version
