"""What the pages' commands are given besides, so that a test has time for them; what is not run.

Every command of every page is run as it is typed. Stand-ins have the names that the page uses.
"""

from __future__ import annotations

# More options, after those of the page, which win. Names in braces are fixtures.
QUICK = "--teacher-epochs 1 --float-epochs 1 --mixed-epochs 1 --epochs 1"
SEARCHED = "--generations 2 --population 30"
MORE = {
    # Ten minutes, and 500 subnets as long.
    "qfa-search train --data ./photos --minutes 10 --out runs/p": "--minutes 0.1 --resolution 16 "
    "--batch-size 50 --processes 2",
    "qfa-search sample --supernet runs/p --data ./photos --n 500 --out runs/p/samples.sqlite "
    "--jobs 2": "--n 12",
    "qfa-search --supernet runs/p --max-mflops 0.61": SEARCHED,
    "qfa-search --supernet runs/p --max-mflops 0.5 --measure 5 --data ./photos --jobs 2 "
    "--out runs/front": f"{SEARCHED} --jobs 1",
    # A few cheap subnets instead of thirty.
    "qfa-search --supernet fashion-mnist --max-mflops 20 --measure 10 --data fashion-mnist "
    "--jobs 2 --out runs/measured": f"{SEARCHED} --max-mflops 0.0925 --measure 1 --jobs 1",
    "qfa-search train --data ./photos --out runs/photos # a folder with a folder of images per "
    "class": f"{QUICK} --batch-size 22 --parts 1 --processes 1 --space {{toy_space_file}}",
    "qfa-search sample --supernet runs/photos --data ./photos --n 500 --out "
    "runs/photos/samples.sqlite": "--n 12",
    "qfa-search --supernet runs/photos --max-mflops 3 --out runs/front # or the limit that train "
    "prints": SEARCHED,
    "qfa-search latency --supernet fashion-mnist --target cortex-m --out cortex-m.csv": (
        "--networks 5"
    ),
    "qfa-search --supernet fashion-mnist --max-minstructions 10 --latency-table cortex-m.csv": (
        SEARCHED
    ),
    "qfa-search latency --supernet fashion-mnist --target cortex-m --mhz 100 --out "
    "cortex-m-ms.csv": "--networks 5",
    "qfa-search latency --supernet fashion-mnist --target onnxruntime --out here.csv": (
        "--networks 5"
    ),
    "qfa-search --max-mflops 20": SEARCHED,
    "qfa-search $published --max-published-mflops 20": SEARCHED,
    "qfa-search $published --max-mflops 20": SEARCHED,
    "python -m benchmarks.supernet_scores --split test --random 50": "--supernet {toy_run} "
    "--data {image_folder} --random 2",
    "python -m benchmarks.export_table --supernet fashion-mnist --replay 300": "--supernet "
    "{toy_run} --data {image_folder} --front {toy_front} --images 8 --replay 4 --out .",
    "python -m benchmarks.gpu_check": "--device cpu --space {toy_space_file} --batch 4 --steps 1",
    "python -m benchmarks.large_search": "--evaluations 300 600 --population 50 --out .",
}

PIP = "needs the network; CI installs the package with pip"
CIFAR10 = "needs the 60,000 images of CIFAR-10; other pages do the same with others"
NOT_RUN = {
    "make search # sets up .venv, searches the bundled supernet": f"{PIP}; its search is run",
    "make search # sets up .venv, searches the bundled supernet: qfa-search --max-mflops 20": (
        f"{PIP}; its search is run"
    ),
    "make PYTHON=python3.12 search": f"{PIP}; its search is run",
    "make test # sets up .venv, runs the tests": "is what runs this",
    "make docs": "CI runs it",
    "pip install .": PIP,
    "pip install -e '.[export]'": PIP,
    "pip install 'qfa-search[export]'": PIP,
    "pip install 'qfa-search[timm]'": PIP,
    "pip install 'qfa-search[dask]'": PIP,
    "pytest -m 'slow or not slow' tests/qfa_search/published tests/predictors": "CI runs them",
    "git clone https://github.com/apple/ml-batchquant": "needs the network; a made-up release "
    "takes its place",
    "python -m benchmarks.imagenet_table --published published --imagenet IMAGENET": "takes hours "
    "on ImageNet; its own tests run it without",
    "python -m benchmarks.bundled --out runs/bundled": "takes one to three hours and has no "
    "shorter way; its own tests look at its commands",
    "qfa-search --supernet cifar10 --max-mflops 7 --measure 10 --data cifar10-images --jobs 2 "
    "--out runs/cifar10": CIFAR10,
    "qfa-search evaluate --supernet cifar10 --data cifar10-images --split test --json "
    "runs/cifar10/front.json > ours.json": CIFAR10,
    "python -m benchmarks.supernet_scores --supernet cifar10 --data cifar10-images --split test "
    "--jobs 2": CIFAR10,
    "python -m benchmarks.cifar10_table --ours ours.json": CIFAR10,
    "python -m benchmarks.measured_front runs/cifar10": CIFAR10,
    "python -m benchmarks.supernet_scores --supernet few-1 --data few --split test --random 12": (
        "needs photos of hand signs and hours; other pages do the same with others"
    ),
    "export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1": "is for the next one",
    "torchrun --nnodes 4 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29400 "
    "--max-restarts 3 -m qfa_search train --preset imagenet --space mobilenet-v3-w1.2 --data "
    "/shared/imagenet --out /shared/run --resume": "needs four machines; the tests of training "
    "have two processes of torchrun on one",
    "dask scheduler # on one machine": "needs a cluster",
    "dask worker tcp://HOST:8786 --nthreads 1 --nworkers 8 # on each of them; one thread each": (
        "needs a cluster"
    ),
    "qfa-search sample --supernet /shared/run --data /shared/photos --n 8000 --backend dask "
    "--scheduler tcp://HOST:8786": "needs a cluster",
}
