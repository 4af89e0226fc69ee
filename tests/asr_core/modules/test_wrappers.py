import pytest
import torch
import torch.distributed as dist
import torch.distributed.fsdp as fsdp
from layer_cases import randomise
from small_net import assert_unchanged, images, net, snapshot
from torch import nn
from torch.optim.swa_utils import AveragedModel

from asr_core import check_parity, fuse_asr, insert_asr
from asr_core.errors import InputError, TargetError


@pytest.fixture
def one_process(tmp_path):
    meeting = f"file://{tmp_path}/rendezvous"
    dist.init_process_group("gloo", init_method=meeting, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def gated():
    model = net()
    insert_asr(model, targets=["1", "6"])
    randomise(model, std=0.3)
    return model


@pytest.mark.parametrize("part", [False, True])
def test_compiled_models_are_refused_on_insertion_with_the_cure(part):
    compiled = torch.compile(net())
    model = nn.ModuleDict({"backbone": compiled}) if part else compiled
    before = snapshot(model)
    where = "its part 'backbone' is" if part else "it is"
    cure = r"Insert into the plain model first, then build the optimizer, then wrap or compile"
    with pytest.raises(TargetError, match=rf"{where} wrapped already \(OptimizedModule\)\. {cure}"):
        insert_asr(model, targets="*1")
    assert_unchanged(model, before)


def test_models_compiled_in_place_are_refused_on_insertion():
    model = net()
    model.compile()
    with pytest.raises(TargetError, match=r"it is wrapped already \(torch\.compile\)"):
        insert_asr(model, targets="1")


def test_data_parallel_models_are_refused_on_insertion(one_process):
    for wrapper in (nn.DataParallel, nn.parallel.DistributedDataParallel):
        with pytest.raises(TargetError, match=rf"wrapped already \({wrapper.__name__}\)"):
            insert_asr(wrapper(net()), targets="module.1")


def test_averaged_models_are_refused_on_insertion_and_unwrapped_when_fusing():
    with pytest.raises(TargetError, match=r"wrapped already \(AveragedModel\)"):
        insert_asr(AveragedModel(net()), targets="module.1")
    model = gated()
    averaged = AveragedModel(model)
    fused = fuse_asr(averaged)
    assert type(fused) is nn.Sequential
    assert check_parity(model, fused, images()).ok
    assert fuse_asr(averaged, inplace=True) is averaged.module


def test_compiled_models_are_unwrapped_when_fusing():
    model = gated()
    fused = fuse_asr(torch.compile(model))
    assert type(fused) is nn.Sequential
    assert check_parity(model, fused, images()).ok
    assert fuse_asr(torch.compile(model), inplace=True) is model


def test_training_under_ddp_and_evaluating_a_fused_copy_each_epoch(one_process):
    model = gated()
    parallel = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.05)
    for _ in range(2):
        start = model[1].asr.scale().detach()
        optimizer.zero_grad()
        parallel(images()).square().mean().backward()
        optimizer.step()
        assert not torch.equal(start, model[1].asr.scale())
        fused = fuse_asr(parallel)
        assert type(fused) is nn.Sequential
        assert check_parity(model, fused, images()).ok
        assert list(fused.state_dict()) == list(net().state_dict())


def test_wrappers_around_wrappers(one_process):
    model = gated()
    fused = fuse_asr(torch.compile(nn.parallel.DistributedDataParallel(model)))
    assert type(fused) is nn.Sequential


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_scripted_models_have_no_plain_model():
    scripted = torch.jit.script(nn.Linear(3, 4))
    with pytest.raises(TargetError, match=r"held by ScriptModule: gather its full state dict"):
        fuse_asr(scripted)


@pytest.mark.filterwarnings("ignore:FSDP is switching")
def test_sharded_models(one_process):
    sharded = fsdp.FullyShardedDataParallel(net(), device_id=torch.device("cpu"))
    with pytest.raises(TargetError, match=r"wrapped already \(FullyShardedDataParallel\)"):
        insert_asr(sharded, targets="*1")
    with pytest.raises(TargetError, match="held by FullyShardedDataParallel: gather"):
        fuse_asr(sharded)


def test_models_with_a_sharded_part(one_process):
    model = net()
    fsdp.fully_shard(model[6])
    with pytest.raises(TargetError, match=r"its part '6' is wrapped already \(FSDPModule\)"):
        insert_asr(model, targets="1")
    with pytest.raises(TargetError, match="held by FSDPModule: gather its full state dict"):
        fuse_asr(model)


def replicate(model):
    """What nn.DataParallel does first for each forward, before it copies to the devices."""
    return [module._replicate_for_data_parallel() for module in model.modules()]


@pytest.mark.parametrize("shared", [None, [["0", "3"]]])
def test_replicas_would_read_the_gate_of_another_device(shared):
    model = nn.Sequential(*net()[:3], nn.Conv2d(8, 8, 3))
    assert len(replicate(model)) == 5
    insert_asr(model, targets=["0", "3"], shared=shared)
    with pytest.raises(InputError, match=r"nn\.DataParallel: .*DistributedDataParallel"):
        replicate(model)
    with pytest.warns(UserWarning, match="no gate has changed"):
        assert len(replicate(fuse_asr(nn.DataParallel(model)))) == 5


@pytest.mark.skipif(torch.cuda.is_available(), reason="DataParallel would use the GPUs")
def test_data_parallel_without_devices_is_the_model_itself():
    model = gated()
    assert torch.equal(nn.DataParallel(model)(images()), model(images()))
