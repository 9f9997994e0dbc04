"""``domainnet``: DomainNet (Peng et al., ICCV 2019), 345 classes in six domains, official lists, images at 224 pixels.

The official files are ``<domain>.zip``, ``<domain>_train.txt`` and ``<domain>_test.txt``; a line of a list is a path
inside the archive and a label. They lie in ``<data_dir>/domainnet``. An archive is read without unpacking it; the
folder ``<domain>`` is read in its place if the archive is already unpacked there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scalarization.benchmarks.archives import image_files
from scalarization.benchmarks.base import BenchmarkInfo, ClassLabels, DomainInfo, EncodedDomain
from scalarization.benchmarks.images import listed
from scalarization.benchmarks.originals import SUMS, Original, read_lines, read_sums, require
from scalarization.benchmarks.splits import stratified_split
from scalarization.errors import DataError

#: Part of the official training set that is held out for validation (choice).
VALIDATION = 0.1
SPLIT_SEED = 0
#: Largest share of images that the official lists of a domain may have in common under two names (choice). Simple
#: drawings of ``quickdraw`` are alike, and photos were collected by several queries.
SHARED = 0.01
_CLASS_NAMES = """
aircraft_carrier airplane alarm_clock ambulance angel animal_migration ant anvil apple arm asparagus axe backpack
banana bandage barn baseball baseball_bat basket basketball bat bathtub beach bear beard bed bee belt bench bicycle
binoculars bird birthday_cake blackberry blueberry book boomerang bottlecap bowtie bracelet brain bread bridge
broccoli broom bucket bulldozer bus bush butterfly cactus cake calculator calendar camel camera camouflage campfire
candle cannon canoe car carrot castle cat ceiling_fan cello cell_phone chair chandelier church circle clarinet clock
cloud coffee_cup compass computer cookie cooler couch cow crab crayon crocodile crown cruise_ship cup diamond
dishwasher diving_board dog dolphin donut door dragon dresser drill drums duck dumbbell ear elbow elephant envelope
eraser eye eyeglasses face fan feather fence finger fire_hydrant fireplace firetruck fish flamingo flashlight
flip_flops floor_lamp flower flying_saucer foot fork frog frying_pan garden garden_hose giraffe goatee golf_club
grapes grass guitar hamburger hammer hand harp hat headphones hedgehog helicopter helmet hexagon hockey_puck
hockey_stick horse hospital hot_air_balloon hot_dog hot_tub hourglass house house_plant hurricane ice_cream jacket
jail kangaroo key keyboard knee knife ladder lantern laptop leaf leg light_bulb lighter lighthouse lightning line lion
lipstick lobster lollipop mailbox map marker matches megaphone mermaid microphone microwave monkey moon mosquito
motorbike mountain mouse moustache mouth mug mushroom nail necklace nose ocean octagon octopus onion oven owl
paintbrush paint_can palm_tree panda pants paper_clip parachute parrot passport peanut pear peas pencil penguin piano
pickup_truck picture_frame pig pillow pineapple pizza pliers police_car pond pool popsicle postcard potato
power_outlet purse rabbit raccoon radio rain rainbow rake remote_control rhinoceros rifle river roller_coaster
rollerskates sailboat sandwich saw saxophone school_bus scissors scorpion screwdriver sea_turtle see_saw shark sheep
shoe shorts shovel sink skateboard skull skyscraper sleeping_bag smiley_face snail snake snorkel snowflake snowman
soccer_ball sock speedboat spider spoon spreadsheet square squiggle squirrel stairs star steak stereo stethoscope
stitches stop_sign stove strawberry streetlight string_bean submarine suitcase sun swan sweater swing_set sword
syringe table teapot teddy-bear telephone television tennis_racquet tent The_Eiffel_Tower The_Great_Wall_of_China
The_Mona_Lisa tiger toaster toe toilet tooth toothbrush toothpaste tornado tractor traffic_light train tree triangle
trombone truck trumpet t-shirt umbrella underwear van vase violin washing_machine watermelon waterslide whale wheel
windmill wine_bottle wine_glass wristwatch yoga zebra zigzag
"""
#: Names of the classes and of the folders inside the archives, in the order of the labels.
CLASSES = tuple(_CLASS_NAMES.split())

DOMAINS = {
    "clipart": DomainInfo(33_525, images=48_129, original_bytes=1.27e9),
    "infograph": DomainInfo(36_023, images=51_605, original_bytes=4.03e9),
    "painting": DomainInfo(50_416, images=72_266, original_bytes=3.68e9),
    "quickdraw": DomainInfo(120_750, images=172_500, original_bytes=460e6),
    "real": DomainInfo(120_906, images=172_947, original_bytes=5.99e9),
    "sketch": DomainInfo(48_212, images=69_128, original_bytes=2.65e9),
}
#: The authors' server. The cleaned version's archives of :data:`CLEANED` differ from the first version's and lie in a
#: folder of their own. The authors publish no checksums.
HOST = "http://csr.bu.edu/ftp/visda/2019/multi-source/"
CLEANED = ("clipart", "painting")
#: Domain -> images of the first version (table 1 of its authors' paper); :data:`DOMAINS` has those of the cleaned one.
FIRST_VERSION = {
    "clipart": 48_837,
    "infograph": 53_201,
    "painting": 75_759,
    "quickdraw": 172_500,
    "real": 175_327,
    "sketch": 70_386,
}


def files(domains: list[str]) -> list[Original]:
    """The original files of some domains."""
    originals = []
    for domain in domains:
        archive = f"{HOST}{'groundtruth/' if domain in CLEANED else ''}{domain}.zip"
        originals.append(Original(f"domainnet/{domain}.zip", archive, unpacked={f"domainnet/{domain}/": None}))
        originals += [
            Original(f"domainnet/{domain}_{split}.txt", f"{HOST}domainnet/txt/{domain}_{split}.txt")
            for split in ("train", "test")
        ]
    return originals


def read(domains: list[str], downloads: Path) -> dict[str, EncodedDomain]:
    """Labels and splits of some domains, and how their images are read.

    Args:
        domains: Names of domains.
        downloads: Directory with ``domainnet/``.

    Raises:
        DataError: A file is missing, an archive is damaged or lacks a listed image, a line of a list is malformed, a
            list is empty or of the first version, an image is listed twice or in both lists, or a label does not
            belong to the class that its path names.
    """
    require(files(domains), downloads, "domainnet")
    return {name: _read(name, number, downloads) for number, name in enumerate(DOMAINS) if name in domains}


def _read(domain: str, number: int, downloads: Path) -> EncodedDomain:
    directory = downloads / "domainnet"
    train_file, test_file = (directory / f"{domain}_{split}.txt" for split in ("train", "test"))
    train, test = _listed(train_file), _listed(test_file)
    if both := sorted(set(train) & set(test)):
        raise DataError(
            f"{test_file}: {len(both)} images are in {train_file.name} too: {listed(both)}; fetch both lists again"
        )
    paths, labels = [*train, *test], np.array([*train.values(), *test.values()])
    if len(paths) == FIRST_VERSION[domain] != DOMAINS[domain].images and not read_sums(downloads):
        raise DataError(f"{train_file} and {test_file.name} are lists of the first version. {_versions(domain)}")
    content = image_files(
        directory,
        domain,
        paths,
        lambda held: (
            f"it holds {held} images, {train_file.name} and {test_file.name} list {len(paths)}. {_versions(domain)}"
        ),
    )
    held_out = round(VALIDATION * len(train))
    sizes = {"train": len(train) - held_out, "validation": held_out}
    splits = stratified_split(labels[: len(train)], sizes, np.random.default_rng([SPLIT_SEED, number]))
    splits["test"] = np.random.default_rng([SPLIT_SEED, number, 1]).permutation(len(test)) + len(train)

    names = [f"{directory / domain}: {path}" for path in paths]
    return EncodedDomain(lambda row: content(paths[row]), names, labels, splits)


def _versions(domain: str) -> str:
    """Which versions of a domain there are, and the way out if archive and lists are of different ones."""
    archive, *lists = files([domain])
    return (
        f"{domain} has {DOMAINS[domain].images:,} images in the cleaned version (archive {archive.url}, lists "
        f"{' and '.join(original.url for original in lists)}) and {FIRST_VERSION[domain]:,} in the first version "
        f"(archive {HOST}{domain}.zip). Archive and lists must both be of the cleaned version: fetch the other one "
        f"again. (To use other data in this format on purpose, put a {SUMS} next to them.)"
    )


def _listed(file: Path) -> dict[str, int]:
    """Path -> label, in the order of the lines of a list."""
    labels: dict[str, int] = {}
    twice = []
    for number, line in enumerate(read_lines(file), start=1):
        path, _, label = line.rpartition(" ")
        folder = path.split("/")[-2] if path.count("/") else ""
        if not label.isdecimal() or not folder:
            raise DataError(f"{file}: line {number} is '{line}', expected a path and a label")
        if not int(label) < len(CLASSES) or CLASSES[int(label)] != folder:
            named = CLASSES[int(label)] if int(label) < len(CLASSES) else f"none of {len(CLASSES)}"
            raise DataError(f"{file}: line {number}: label {label} of {path} is {named}; fetch the official list again")
        if path in labels:
            twice.append(path)
        labels[path] = int(label)
    if not labels:
        raise DataError(f"{file}: lists no image; fetch the official list again")
    if twice:
        raise DataError(f"{file}: lists {len(twice)} images more than once: {listed(twice)}; fetch it again")
    return labels


BENCHMARK = BenchmarkInfo(
    labels=ClassLabels(CLASSES),
    domains=DOMAINS,
    image_size=224,  # choice
    channels=3,
    provenance={
        "source": "DomainNet (Peng et al., ICCV 2019), official lists of the cleaned version",
        "licence": "research use; copyright remains with the images' owners (fair use notice of its authors)",
        "split_seed": SPLIT_SEED,
    },
    read=read,
    reported=True,
    shared_images=SHARED,
    encoded=True,
    files=files,
    page="http://ai.bu.edu/M3SDA/, 'cleaned version, recommended'",
)
