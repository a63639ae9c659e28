"""The optimizer whose steps turn every direction alike."""

import torch
from torch import nn

from engine.training.loop.muon import Muon, is_matrix, orthogonalised


def test_singular_values_become_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in ((6, 40), (40, 6), (12, 12)):
        matrix = torch.randn(shape, generator=generator) @ torch.diag(torch.logspace(0, -1.5, shape[1]))
        values = torch.linalg.svdvals(orthogonalised(matrix))
        assert float(values.max()) < 1.3
        assert float(values.min()) > 0.5
        u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
        aligned = u.T @ orthogonalised(matrix) @ vh.T  # diagonal where the singular vectors are the same
        assert float((aligned - torch.diag(aligned.diagonal())).abs().max()) < 1e-3


def test_what_counts_as_a_matrix() -> None:
    assert is_matrix(torch.zeros(8, 4, 3, 3))
    assert is_matrix(torch.zeros(1, 8, 4, 3, 3))  # modulated convolutions
    assert not is_matrix(torch.zeros(1, 8, 1, 1))  # biases
    assert not is_matrix(torch.zeros(1, 4, 1, 1))
    assert not is_matrix(torch.zeros(8))


def test_a_step_has_the_size_that_was_asked_for() -> None:
    weight = nn.Parameter(torch.zeros(1, 16, 8, 3, 3))
    weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    Muon([weight], lr=0.01).step()
    size = float(weight.detach().square().mean().sqrt())
    assert 0.007 < size < 0.012


def learnt(steps: int) -> float:
    """Error left after learning a badly conditioned linear map with a bias."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(256, 12, generator=generator) * torch.logspace(0, -1, 12) + 1.0
    y = x @ torch.randn(12, 5, generator=generator) + 0.5
    layer = nn.Linear(12, 5)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    optimizer = Muon(layer.parameters(), lr=0.05)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - step / steps)
        optimizer.zero_grad()
        loss = (layer(x) - y).square().mean()
        loss.backward()
        optimizer.step()
    return float(((layer(x) - y).square().mean() / y.square().mean()).detach())


def test_it_learns() -> None:
    assert learnt(300) < 2e-3


def test_it_goes_on_where_it_stopped() -> None:
    def run(model: nn.Linear, optimizer: Muon, first: int, last: int) -> None:
        for step in range(first, last):
            optimizer.zero_grad()
            model(torch.full((1, 3), float(step))).square().sum().backward()
            optimizer.step()

    torch.manual_seed(3)
    whole, halves = nn.Linear(3, 4), nn.Linear(3, 4)
    halves.load_state_dict(whole.state_dict())
    one, other = Muon(whole.parameters(), 0.01), Muon(halves.parameters(), 0.01)
    run(whole, one, 0, 6)
    run(halves, other, 0, 3)
    resumed = Muon(halves.parameters(), 0.01)
    resumed.load_state_dict(other.state_dict())
    run(halves, resumed, 3, 6)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), halves.parameters(), strict=True))
