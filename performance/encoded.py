"""A store of 50,000 JPEGs: the loader against a loop of decode_jpeg, and resident memory by the size of the store."""

import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sides import side_by_side
from torchvision.io import ImageReadMode, decode_jpeg

from scalarization import models
from scalarization.architectures import Architecture
from scalarization.benchmarks.base import EncodedDomain
from scalarization.config import AugmentationOptions, ResNetOptions
from scalarization.data.augmentation import Augmentation
from scalarization.data.encode import describe_encoding
from scalarization.data.encoded import EncodedData
from scalarization.data.prepare import write_store
from scalarization.data.store import Store

#: Images of the small and of the large store.
SIZES, TINY_SIZES = (5_000, 50_000), (80, 128)
#: Different pictures, which the images of a store repeat.
PICTURES, TINY_PICTURES = 400, 20
#: Images in a batch.
BATCH, TINY_BATCH = 128, 16
#: Batches of a comparison with decoding alone.
BATCHES = 8
AUGMENTATION = Augmentation(AugmentationOptions(flip=True, resized_crop=0.08))
#: Metadata that prepare() takes from the benchmark.
METADATA = {"classes": list(range(10)), **describe_encoding(224)}
MODEL = ResNetOptions(channels=8)


def measure(tiny=False):
    """Lines of results; stores are made in a temporary directory and removed."""
    torch.set_num_threads(1)
    sizes, pictures = (TINY_SIZES, TINY_PICTURES) if tiny else (SIZES, PICTURES)
    batch, batches, rounds = (TINY_BATCH, 1, 1) if tiny else (BATCH, BATCHES, 7)
    with tempfile.TemporaryDirectory() as directory:
        stores = {count: make_store(Path(directory) / str(count), count, pictures) for count in sizes}
        largest = max(sizes)
        size = (stores[largest] / "only_images.bin").stat().st_size / 2**20
        yield f"{size:,.0f} MiB in {largest:,} images, shorter side 256 pixels, quality 90"
        for threads in (1, 2):
            yield compare(stores[largest] / "dataset.json", threads, batch, batches, rounds)
        for count, store in stores.items():
            command = [sys.executable, __file__, str(store / "dataset.json"), str(batch)]
            memory = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            yield (
                f"{count:,} images: resident {memory['first']:,.0f} MiB after 5 steps, {memory['last']:,.0f} MiB after "
                f"reading all of them, {memory['largest']:,.0f} MiB at most ({memory['rate']:,.0f} images/s)"
            )


def make_store(directory, count, pictures):
    """Make a prepared store of generated pictures; returns its directory."""
    generator = np.random.default_rng(0)
    contents = [picture(generator) for _ in range(pictures)]
    rows = np.arange(count)
    splits = {"train": rows, "validation": rows[:0], "test": rows[:0]}
    domain = EncodedDomain(lambda row: contents[row % pictures], [str(r) for r in rows], rows % 10, splits)
    write_store(directory, "generated", {"only": domain}, METADATA)
    return directory


def picture(generator):
    """Smooth colours with some grain, which compress about as well as photographs."""
    sides = [256, int(generator.integers(256, 420))]
    height, width = generator.permutation(sides).tolist()
    smooth = Image.fromarray(generator.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8))
    smooth = np.asarray(smooth.resize((width, height), Image.Resampling.BICUBIC), dtype=float)
    grain = generator.normal(0, 6, (height, width, 1))
    buffer = io.BytesIO()
    Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def compare(file, threads, batch, batches, rounds):
    """Batches of pixels in the memory of the host, against decoding alone, with equally many threads."""
    store = Store(file)
    data = EncodedData(store, ["only"], torch.device("cpu"), workers=threads)
    images = data.size("only", "train")
    rows = torch.randperm(images, generator=torch.Generator().manual_seed(0))[: batches * batch].reshape(-1, batch)
    encoded = [
        torch.frombuffer(bytearray(store.encoded("only", row)), dtype=torch.uint8) for row in rows.flatten().tolist()
    ]
    pool = ThreadPoolExecutor(threads)

    def loader():
        for _ in data.decoded(rows, AUGMENTATION, range(len(rows))):
            pass

    def decode(first):
        for content in encoded[first::threads]:
            decode_jpeg(content, mode=ImageReadMode.RGB)

    def bare():
        list(pool.map(decode, range(threads)))

    ours, theirs, ratio = side_by_side(loader, bare, rounds)
    cpu = statistics.median(cpu_seconds(bare) / cpu_seconds(loader) for _ in range(rounds))
    pixels = next(data.decoded(rows, AUGMENTATION, range(len(rows))))
    normalising = min(cpu_seconds(lambda: data.normalise(pixels)) for _ in range(rounds)) / batch
    return (
        f"{threads} thread{'s' * (threads > 1)}: {100 / ratio:.0f} % of a loop of decode_jpeg on as many "
        f"({rows.numel() / ours:,.0f} and {rows.numel() / theirs:,.0f} images/s), {100 * cpu:.0f} % by CPU time; "
        "the loader also crops, resizes to 224 pixels and flips; "
        f"normalising on the CPU {1000 * normalising:.2f} ms an image"
    )


def cpu_seconds(work):
    """CPU time of all threads of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def resident():
    """MiB of this process, mapped files included."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def train(file, batch):
    """Read every image once and train a small ResNet on some of the batches; prints resident memory."""
    torch.set_num_threads(1)
    data = EncodedData(Store(file), ["only"], torch.device("cpu"), workers=2)
    count = data.size("only", "train") // batch * batch
    rows = torch.randperm(count, generator=torch.Generator().manual_seed(0)).reshape(-1, batch)
    network = models.build(Architecture("resnet", 14, 16), MODEL, (224, 224, 3), 10)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    seen, began = [], time.perf_counter()
    for step, (images, labels) in enumerate(data.batches(rows, AUGMENTATION, range(len(rows)))):
        if step < 5 or step % 20 == 0:
            torch.nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()
            optimizer.zero_grad()
        seen.append(resident())
    rate = count / (time.perf_counter() - began)
    print(json.dumps({"first": seen[4], "last": seen[-1], "largest": max(seen), "rate": rate}))


if __name__ == "__main__":
    train(Path(sys.argv[1]), int(sys.argv[2]))
