import pytest
import torch
from builders.tiny import tiny_batches, tiny_fit, tiny_model, tiny_params, weights_of, write_split

from classifier.training.adversarial import attack


def images_and_targets() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, 8, 8, 3), generator=generator).float()
    return images, torch.arange(6) % 3


@pytest.mark.parametrize(("steps", "starts"), [(1, False), (1, True), (10, True)])
def test_attacks_stay_within_reach_and_raise_the_loss(steps: int, starts: bool) -> None:
    model = tiny_model()
    before = weights_of(model)
    images, targets = images_and_targets()
    start = torch.empty_like(images).uniform_(-1, 1) if starts else None
    moved = attack(model, images, targets, strength=4.0, steps=steps, start=start)
    assert 3.9 < (moved - images).abs().max() <= 4.0
    assert moved.min() >= 0
    assert moved.max() <= 255
    losses = [torch.nn.functional.cross_entropy(model(part), targets) for part in (images, moved)]
    assert losses[1] > losses[0]
    assert weights_of(model) == before
    assert all(weight.grad is None for weight in model.parameters())


def test_several_steps_mislead_more_than_one() -> None:
    model = tiny_model()
    images, targets = images_and_targets()
    losses = [
        torch.nn.functional.cross_entropy(
            model(attack(model, images, targets, strength=8.0, steps=steps, start=start)), targets
        ).item()
        for steps, start in ((1, None), (20, torch.zeros_like(images)))
    ]
    assert losses[1] > losses[0]


def test_training_against_attacks_is_repeatable_and_spares_batch_norm(tmp_path) -> None:
    dataset = write_split(tmp_path)
    trained = {}
    for name, strength in (("one", 8.0), ("two", 8.0), ("none", 0.0)):
        params = tiny_params(epochs=1, adversarial_strength=strength)
        network = tiny_model(params.model).train()
        tiny_fit(network, tiny_batches(dataset, params), params, run=name)
        trained[name] = network.state_dict()
    assert all(torch.equal(trained["one"][name], trained["two"][name]) for name in trained["one"])
    counters = [name for name in trained["one"] if name.endswith("num_batches_tracked")]
    assert counters
    assert all(torch.equal(trained["one"][name], trained["none"][name]) for name in counters)
    assert not torch.equal(trained["one"]["head.1.weight"], trained["none"]["head.1.weight"])
