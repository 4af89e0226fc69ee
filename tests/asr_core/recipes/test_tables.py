"""The shipped recipes against the paper's Tables 2 and 3, cell by cell."""

import re

import pytest

from asr_core.models import BACKBONES
from asr_core.recipes import DEFAULT, Recipe, load_recipe, recipes

# As printed in the supplementary; columns are separated by tabs.
TABLE_2 = r"""
	$\operatorname{ResNet83}$	ResNet164	VGG19	ShuffleNetV2	MobileNet	RepVGG	$\operatorname{ResNet-ACNet}$
optimizer	SGD (0.9)	SGD (0.9)	SGD (0.9)	SGD(0.9)	SGD (0.9)	SGD (0.9)	SGD (0.9)
schedule	81/122	81/122	60/120/160	60/120/160	60/120/160	130	cosine annealing
weight decay	1.00E-04	1.00E-04	5.00E-04	5.00E-04	5.00E-04	1.00E-04	1.00E-04
gamma	0.1	0.1	0.2	0.2	0.2	0.1	0.333
lr	0.1	0.1	0.1	0.1	0.1	0.1	0.1
"""  # noqa: E501

TABLE_3 = r"""
	ResNet34	ResNet50	ResNet101	ViT-S	ViT-B	ViT-B \uparrow 384
optimizer	SGD (0.9)	SGD (0.9)	SGD (0.9)	AdamW	AdamW	AdamW
schedule	30/60/90	30/60/90	30/60/90	cosine annealing	cosine annealing	cosine annealing
weight decay	1.00E-04	1.00E-04	1.00E-04	5.00E-02	5.00E-02	1.00E-08
gamma	0.1	0.1	0.1	-	-	-
lr	0.1	0.1	0.1	5.00E-04	5.00E-04	5.00E-06
epoch	100	100	100	300	300	30
batch size	128	128	128	256	256	64
"""  # noqa: E501

B_1 = """
all models using STL10, CIFAR10, and CIFAR100 datasets with epoch set to 164.
The batch size of CIFAR10, CIFAR100, and STL10 is 128, 128, 16, respectively.
"""

# The paper's column head, the network that it stands for, and the name of its recipes.
NETWORKS = {
    "ResNet83": ("resnet83", "resnet83"),
    "ResNet164": ("resnet164", "resnet164"),
    "VGG19": ("vgg19_bn", "vgg19"),
    "ShuffleNetV2": ("shufflenet_v2", "shufflenetv2"),
    "MobileNet": ("mobilenet_v1", "mobilenet"),
    "RepVGG": ("repvgg_a0", "repvgg"),
    "ResNet-ACNet": ("resnet83_acnet", "resnet-acnet"),
    "ResNet34": ("resnet34", "resnet34"),
    "ResNet50": ("resnet50", "resnet50"),
    "ResNet101": ("resnet101", "resnet101"),
    "ViT-S": ("vit_s_16", "vit-s"),
    "ViT-B": ("vit_b_16", "vit-b"),
    "ViT-B 384": ("vit_b_16_384", "vit-b-384"),
}


def columns(table: str) -> dict[str, dict[str, str]]:
    """{column head: {row: cell}}."""
    head, *rows = [line.split("\t") for line in table.strip("\n").splitlines()]
    heads = [
        re.sub(r"\$|\\operatorname|\\uparrow|[{}]", "", cell).replace("  ", " ")
        for cell in head[1:]
    ]
    found: dict[str, dict[str, str]] = {name: {} for name in heads}
    for row, *cells in rows:
        assert len(cells) == len(heads)
        for name, cell in zip(heads, cells, strict=True):
            found[name][row] = cell
    return found


def printed(recipe: Recipe) -> dict[str, str | float]:
    """What the paper's table would say of ``recipe``."""
    optimizers = {"sgd": f"SGD({recipe.momentum})", "adamw": "AdamW"}
    steps = "/".join(map(str, recipe.milestones))
    return {
        "optimizer": optimizers[recipe.optimizer],
        "schedule": {"multistep": steps, "cosine": "cosine annealing"}[recipe.schedule],
        "weight decay": recipe.weight_decay,
        "gamma": "-" if recipe.gamma is None else recipe.gamma,
        "lr": recipe.lr,
        "epoch": recipe.epochs,
        "batch size": recipe.batch_size,
    }


def cell(row: str, text: str) -> str | float:
    if text == "-" or row in ("optimizer", "schedule"):
        return text.replace("SGD (", "SGD(")
    return float(text)


SMALL = {"cifar10": 32, "cifar100": 32, "stl10": 96}
CASES = [(name, data, "2") for name in columns(TABLE_2) for data in SMALL]
CASES += [(name, "imagenet", "3") for name in columns(TABLE_3)]


@pytest.mark.parametrize(("network", "data", "table"), CASES)
def test_every_cell_is_the_papers(network: str, data: str, table: str) -> None:
    backbone, name = NETWORKS[network]
    recipe = load_recipe(f"{name}-{data}")
    assert (recipe.name, recipe.backbone, recipe.data) == (f"{name}-{data}", backbone, data)
    assert recipe.source.startswith(f"paper, Table {table}, {network.replace(' ', '↑')}")
    column = columns({"2": TABLE_2, "3": TABLE_3}[table])[network]
    ours = printed(recipe)
    for row, text in column.items():
        assert ours[row] == cell(row, text), row


@pytest.mark.parametrize("network", columns(TABLE_2))
def test_epochs_and_batch_sizes_are_those_of_b_1(network: str) -> None:
    epochs = re.search(r"epoch set to (\d+)", B_1)
    sizes = re.search(r"The batch size of (.*) is (.*), respectively", B_1)
    assert epochs
    assert sizes
    named = sizes[1].replace("and ", "").lower().split(", ")
    batches = dict(zip(named, map(int, sizes[2].split(", ")), strict=True))
    assert batches == {"cifar10": 128, "cifar100": 128, "stl10": 16}
    for data, batch in batches.items():
        recipe = load_recipe(f"{NETWORKS[network][1]}-{data}")
        assert (recipe.epochs, recipe.batch_size) == (int(epochs[1]), batch)
        assert recipe.image_size == SMALL[data]


DEEP = tuple(f"resnet56-half-{data}" for data in ("embedded", "shapes", "cifar10", "cifar100"))
OURS = (
    DEFAULT, "resnet29-shapes", "resnet11-embedded", "resnet11-embedded-quarters",
    "resnet11-shapes", "resnet11-gn-embedded", *DEEP,
)  # fmt: skip


def test_the_tables_have_thirteen_columns_and_no_recipe_is_without_one() -> None:
    heads = [*columns(TABLE_2), *columns(TABLE_3)]
    assert heads == list(NETWORKS)
    assert [*OURS, *(f"{NETWORKS[name][1]}-{data}" for name, data, _ in CASES)] == recipes()


def test_a_changed_cell_would_be_seen() -> None:
    """The comparison is no tautology: each row of the table tells two recipes apart."""
    resnet, vit = load_recipe("resnet34-imagenet"), load_recipe("vit-b-384-imagenet")
    one, other = printed(resnet), printed(vit)
    assert all(one[row] != other[row] for row in columns(TABLE_3)["ViT-S"])


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_names_a_backbone_that_takes_its_images(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.image_size in BACKBONES[recipe.backbone].sizes


def test_images_of_imagenet_are_224_and_for_the_column_that_says_so_384() -> None:
    sizes = {name: load_recipe(name).image_size for name in recipes() if "imagenet" in name}
    assert sizes.pop("vit-b-384-imagenet") == 384
    assert set(sizes.values()) == {224}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vgg19-cifar10", ("60/120/160", "164")),
        ("resnet-acnet-stl10", ("cosine", "0.333", "without effect")),
        ("repvgg-cifar100", ("One milestone", "A0")),
        ("vit-s-imagenet", ("β", "warm-up", "5e-4")),
        ("vit-b-384-imagenet", ("1e-8", "fine-tuning", "vit-b-imagenet")),
        ("resnet50-imagenet", ("0.1", "256", "128")),
        ("resnet29-embedded", ("Not in the paper",)),
        ("resnet11-embedded", ("Not in the paper", "many runs")),
        ("resnet11-embedded-quarters", ("Not in the paper", "many runs")),
    ],
)
def test_what_the_paper_leaves_open_is_noted(name: str, words: tuple[str, ...]) -> None:
    notes = " ".join(load_recipe(name).notes)
    assert all(word in notes for word in words), notes


def test_ours_come_first_and_say_so() -> None:
    assert OURS[0] == DEFAULT
    assert [name for name in recipes() if load_recipe(name).source == "ours"] == list(OURS)
    assert {load_recipe(name).data for name in OURS} == {
        "embedded", "embedded-quarters", "shapes", "cifar10", "cifar100",
    }  # fmt: skip
