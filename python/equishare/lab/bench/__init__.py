"""``equishare bench``: agreement first, then ours, eager PyTorch, torch.compile and a copy of the same bytes."""

from equishare.lab.bench.case import Case
from equishare.lab.bench.result import Results, Row
from equishare.lab.bench.run import all_cases, measure, run, select
from equishare.lab.bench.show import print_results
from equishare.lab.bench.write import write_results

__all__ = ["Case", "Results", "Row", "all_cases", "measure", "print_results", "run", "select", "write_results"]
