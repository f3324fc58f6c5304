"""One whole training: images, split, supernet, its scores, the file."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from predictors.files import atomic_path, file_digest, locked_folder, read_metadata, write_text
from qfa_search.errors import QFAError
from qfa_search.images.memory import ImageFolder
from qfa_search.images.on_disk import FolderData
from qfa_search.images.published_set import Listed, PublishedSet
from qfa_search.images.sources import about_images, data_for, data_metadata, list_images
from qfa_search.images.split_file import SPLIT_FILE, write_split
from qfa_search.supernet.storage import read_supernet, save_supernet
from qfa_search.training.config import TrainConfig, preset, read_recipe
from qfa_search.training.distributed import World, add_numbers, join_world
from qfa_search.training.lengths import steps_of_phases
from qfa_search.training.metrics import metrics_writer
from qfa_search.training.phase import Progress
from qfa_search.training.recipe import TEACHER_FILE, Trained, train_supernet
from qfa_search.training.rounds import GapWatch
from qfa_search.training.scores import corner_scores
from qfa_search.training.stop import stop_requests
from search_spaces import SearchSpace, to_toml

SUPERNET_FILE = "supernet.safetensors"
SPACE_FILE = "space.toml"
RECIPE_FILE = "recipe.toml"
SMALL_SIDE = 8  # of images that are decoded to see whether they can be


def check_out(out: Path, *, resume: bool) -> None:
    """Nothing, if a training may write to `out`.

    Raises:
        QFAError: `out` holds a supernet already, or checkpoints and `resume` is not set.
    """
    path = out / SUPERNET_FILE
    if path.exists():
        raise QFAError(f"{path} exists already: choose another --out")
    if not resume and any(out.glob("*.ckpt")):
        raise QFAError(f"{out} holds an unfinished training: add --resume, or choose another --out")


def recipe_of(path: Path) -> TrainConfig:
    """The recipe that the supernet of a file was trained by.

    Raises:
        ValueError: Unreadable file, or a recipe of another version.
    """
    stored = read_metadata(path, "supernet").get("recipe")
    if not isinstance(stored, dict):
        raise ValueError(f"{path} has no recipe: it was not trained here")
    try:
        return read_recipe(stored)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def stored_recipe(out: Path) -> TrainConfig | None:
    """The recipe of the training that started in `out`, if one did."""
    path = out / RECIPE_FILE
    if not path.is_file():
        return None
    return preset(str(path))


def list_to_train(
    source: str, out: Path, *, resume: bool, starts: Sequence[Path], by_content: bool = True
) -> Listed:
    """The images of a training, split; a run that goes on keeps the split that `out` stores.

    Args:
        source: "fashion-mnist", "cifar10" or a folder.
        out: Folder of the training.
        resume: Whether it goes on.
        starts: Files of supernets and teachers that it starts or learns from.
        by_content: Whether images are read; without, only their number is right.

    Raises:
        DataError: The folder is not of the right form.
    """
    return list_images(
        source,
        split_file=out / SPLIT_FILE if resume else None,
        starts=starts,
        by_content=by_content,
    )


def train(
    space: SearchSpace,
    source: str,
    out: Path,
    config: TrainConfig,
    *,
    listed: Listed | None = None,
    resume: bool = False,
    teacher: Path | None = None,
    teacher_weights: Path | None = None,
    init: Path | None = None,
    tensorboard: bool = False,
    on_step: Callable[[Progress], None],
) -> Path:
    """Train a supernet of `space` on the images of `source`; returns the file it is in.

    Args:
        space: What to train.
        source: "fashion-mnist", "cifar10" or a folder.
        out: Folder for space, split, checkpoints, metrics, teacher and `supernet.safetensors`.
        config: Recipe.
        listed: The images of `source`, where the caller has listed them already.
        resume: Go on from the checkpoints in `out`.
        teacher: File of a dense teacher or a supernet to learn from; none is trained then.
        teacher_weights: Weights of a classifier of torchvision or timm, tuned as the teacher.
        init: Supernet file that the float network starts from, as far as shapes agree.
        tensorboard: Write TensorBoard's event files too.
        on_step: Called after every step, in the first process only.

    Raises:
        QFAError: `out` holds a supernet already, or checkpoints and `resume` is not set.
        DataError: The images do not fit the space or cannot be read.
        TrainingError: The loss is not a number any more.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after the step was done and saved.
    """
    path = out / SUPERNET_FILE
    check_out(out, resume=resume)
    if listed is None:
        starts = [path for path in (init, teacher) if path is not None]
        listed = list_to_train(source, out, resume=resume, starts=starts)
    data = data_for(listed, space)
    if isinstance(data, FolderData):
        data = replace(data, least_area=config.crop_share, flips=config.flip)
    start = None if init is None else read_supernet(init)[0]
    with (
        join_world() as world,
        _alone_in(out, world),
        metrics_writer(out, tensorboard=tensorboard) as write_metrics,
    ):
        if world.is_first:
            check_out(out, resume=resume)  # again: now nobody else can write to it
            if not (resume and any(out.glob("*.ckpt"))):  # else they tell what was begun
                write_text(out / SPACE_FILE, to_toml(space))
                write_text(out / RECIPE_FILE, _as_toml(config))
            if teacher is not None and not (out / TEACHER_FILE).exists():
                with atomic_path(out / TEACHER_FILE) as temporary:
                    shutil.copyfile(teacher, temporary)
            if not isinstance(data, PublishedSet):
                write_split(out / SPLIT_FILE, data.split)
        else:  # the first process tells of unreadable images
            logging.getLogger("qfa_search.images").setLevel(logging.ERROR)
        images, held_out = data.images("train"), data.images("val")
        if world.is_first and isinstance(data, ImageFolder):
            # What cannot be read is told now and not when it is needed.
            replace(data, resolution=SMALL_SIDE).images("test")

        def score(trained: Trained) -> dict[str, float]:
            return corner_scores(trained, images, held_out, config.batch_size)

        watch = GapWatch(score, data.size("val"))

        def goes_on(trained: Trained) -> bool:
            is_on = world.is_first and watch.goes_on(trained)
            return add_numbers([float(is_on)], world)[0] > 0

        with stop_requests(world) as check_for_stop:

            def show(progress: Progress) -> None:
                if world.is_first:
                    write_metrics(progress)
                    on_step(progress)
                check_for_stop()

            trained = train_supernet(
                space,
                images,
                config,
                out,
                world=world,
                on_step=show,
                goes_on=goes_on,
                teacher_file=teacher,
                teacher_weights=teacher_weights,
                init=start,
                about_images=about_images(data),
                origins={
                    **_digests(start=init, teacher=teacher, teacher_weights=teacher_weights),
                    "images": data.digest,
                },
            )
        if world.is_first:
            is_scored = watch.scores is not None and trained.n_rounds < config.rounds
            scores = watch.scores if is_scored else score(trained)
            metadata = {
                **data_metadata(source, data),
                "recipe": asdict(config),
                "scores": scores,
                "steps": steps_of_phases(config, len(images)),
                "rounds": trained.n_rounds,
                **_origins(init, teacher, teacher_weights),
            }
            save_supernet(path, trained.supernet, metadata)
    return path


@contextmanager
def _alone_in(out: Path, world: World) -> Iterator[None]:
    """The folder of a training, which no other command writes to until the block ends.

    Raises:
        QFAError: Another one does, or nothing can be written there.
    """
    with ExitStack() as stack:
        if world.is_first:
            try:
                stack.enter_context(locked_folder(out))
            except OSError as error:
                raise QFAError(f"cannot use {out}: {error.strerror or error}") from None
            # What kills in the middle of writing left.
            for pattern in (".*.ckpt", f".{TEACHER_FILE}.*", f".{SUPERNET_FILE}.*"):
                for path in out.glob(pattern):
                    path.unlink()
        yield


def _as_toml(config: TrainConfig) -> str:
    """A recipe as a file for `--preset`: numbers, words and truth values look as in JSON."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in asdict(config).items())


def _digests(**given: Path | None) -> dict[str, object]:
    """Fingerprints of the files that a training was given, by what they are for."""
    return {name: None if path is None else file_digest(path) for name, path in given.items()}


def _origins(
    init: Path | None, teacher: Path | None, teacher_weights: Path | None
) -> dict[str, Any]:
    """What a training was given: the start with its own recipe and origins, and the teacher."""
    found: dict[str, Any] = {}
    if init is not None:
        of_start = read_metadata(init, "supernet")
        names = ("recipe", "rounds", "init", "teacher")
        kept = {key: of_start[key] for key in names if key in of_start}
        found["init"] = {"digest": file_digest(init), **kept}
    if teacher_weights is not None:
        found["teacher_weights"] = {"digest": file_digest(teacher_weights)}
    if teacher is not None:
        found["teacher"] = {"digest": file_digest(teacher)}
    return found
