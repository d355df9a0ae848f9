"""What a job's exception is taken for, by the texts that the libraries have been seen to use."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from optimizer.backends.local import _Worker
from optimizer.errors import NotFiniteFault, StorageFault, WrongDeviceFault
from optimizer.failures import is_of_gpu_memory, is_of_the_disk, kind_of, words_of_abort


class LibraryError(Exception):
    """Stands in for ``XGBoostError``, ``LightGBMError``, ``CatBoostError``, ``RuntimeError`` of torch."""


NO_ROOM_ON_THE_CARD = [
    "[11:01:50] ../src/c_api/../data/../common/device_helpers.cuh:431: Memory allocation error on worker 0: "
    "std::bad_alloc: cudaErrorMemoryAllocation: out of memory\n- Free memory: 8126464\n- Requested memory: 33554432",
    "CUDA error: build/xgboost/src/device_helpers.cuh(386): out of memory",
    "catboost/cuda/cuda_lib/memory_pool/stack_like_memory_pool.h:303: Error: Out of memory. Requested 8880 MB; "
    "Free 5902.061425 MB",
    "(NCudaLib::TOutOfMemoryError) stack_like_memory_pool.h:294: Error: Out of memory. Requested 1070.54; Free 1010.9",
    "CUDA error 2: out of memory",
    "Error: not enough memory for tree-ctrs: ",
    "Error: not enough memory for learning",
    "Error: Out of memory. Requested 1070.546387; Free 1010.952393",
    "[CUDA] out of memory /LightGBM/src/treelearner/cuda/cuda_histogram_constructor.cpp 68",
    "Memory Object Allocation Failure",
    "CUDA out of memory. Tried to allocate 2.87 GiB (GPU 0; 14.76 GiB total capacity; 8.77 GiB already allocated)",
    "CUDA out of the memory. Tried to allocate 360.00 MiB",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "clCreateBuffer failed: CL_MEM_OBJECT_ALLOCATION_FAILURE",
    "Out of Host Memory",
]
CARD_LOST = [
    "[20:15:09] ../src/tree/updater_gpu_hist.cu:770: Exception in gpu_hist: ../src/c_api/../data/common.h:45: "
    "../src/tree/updater_gpu_hist.cu: 724: cudaErrorIllegalAddress: an illegal memory access was encountered",
    "updater_gpu_hist.cu(673): an illegal memory access was encountered",
    "[21:57:25] src/predictor/gpu_predictor.cu: 236: unspecified launch failure",
    "catboost/cuda/cuda_lib/cuda_base.h:243: CUDA error 700: an illegal memory access was encountered",
    "catboost/cuda/cuda_lib/cuda_manager.h:305: Condition violated: `State == nullptr'",
    "CUDA error 35: CUDA driver version is insufficient for CUDA runtime version",
    "[CUDA] an illegal memory access was encountered /LightGBM/src/treelearner/cuda/cuda_data_partition.cu 987",
    "CUDA error: device-side assert triggered",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    "CUDA error: uncorrectable ECC error encountered",
    "cudaErrorNoDevice: no CUDA-capable device is detected",
    "Unknown OpenCL Error (221)",
    "Unknown OpenCL Error (-9999)",
    "Out of Resources",
    "Invalid Command Queue",
    "clEnqueueNDRangeKernel: CL_OUT_OF_RESOURCES",
    "No OpenCL device found",
]
NO_ROOM = [
    "std::bad_alloc",
    "bad allocation",
    "(std::bad_alloc) std::bad_alloc",
    "Unable to allocate 3.10 GiB for an array with shape (416000000,) and data type float64",
    "[Errno 12] Cannot allocate memory",
    "Allocation error : not enough memory",
    "Out of memory attempting to allocate exception",
]
PLAIN = [
    "Check failed: (best_split_info.left_count) > (0) at src/treelearner/serial_tree_learner.cpp, line 682",
    "GPU Tree Learner was not enabled in this build.\nPlease recompile with CMake option -DUSE_GPU=1",
    "bin size 257 cannot run on GPU",
    "Value error: Invalid Parameter format for max_depth expect int but value='0.5'",
    "catboost/private/libs/options/json_helper.h:41: Can't parse parameter \"depth\" with value: 3.5",
    "catboost/cuda/train_lib/train.cpp:283: Error: objective Huber is unsupported on GPU",
    "Invalid Value of a thing that is none of OpenCL's",
]


@pytest.mark.parametrize("text", NO_ROOM_ON_THE_CARD)
def test_a_card_without_room_is_told_from_one_that_is_lost(text: str) -> None:
    assert kind_of(LibraryError(text), "gpu") == "gpu_out_of_memory"


@pytest.mark.parametrize("text", CARD_LOST)
def test_any_other_error_of_the_card_loses_it(text: str) -> None:
    assert kind_of(LibraryError(text), "gpu") == "gpu_lost"


@pytest.mark.parametrize("text", [*NO_ROOM_ON_THE_CARD, *CARD_LOST])
def test_a_job_of_the_cpu_never_loses_a_card(text: str) -> None:
    assert kind_of(LibraryError(text), "cpu") in {"error", "out_of_memory"}


@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize("text", NO_ROOM)
def test_memory_of_the_machine_is_told_by_the_librarys_words(text: str, device: str) -> None:
    assert kind_of(LibraryError(text), device) == "out_of_memory"


@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize("text", PLAIN)
def test_what_a_library_says_of_parameters_and_data_is_a_plain_error(text: str, device: str) -> None:
    assert kind_of(LibraryError(text), device) == "error"


@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize(("error", "kind"), [
    (WrongDeviceFault("CUDA error"), "wrong_device"),
    (NotFiniteFault("nan"), "not_finite"),
    (MemoryError(), "out_of_memory"),
    (OSError(errno.ENOMEM, "no memory"), "out_of_memory"),
    (StorageFault("no table"), "storage"),
    (OSError(errno.ENOSPC, "no space left on device"), "storage"),
    (OSError(errno.EROFS, "read-only file system"), "storage"),
    (FileNotFoundError(errno.ENOENT, "no such file"), "error"),
    (OSError("libgomp.so.1: cannot open shared object file"), "error"),
    (ZeroDivisionError("by zero"), "error"),
])
def test_a_failure_with_a_type_of_its_own_needs_no_words(error: Exception, kind: str, device: str) -> None:
    assert kind_of(error, device) == kind


def test_what_an_error_was_raised_from_counts_too() -> None:
    outer = LibraryError("the fit failed")
    outer.__cause__ = LibraryError("CUDA error 700: an illegal memory access was encountered")

    assert kind_of(outer, "gpu") == "gpu_lost"
    assert kind_of(outer, "cpu") == "error"


def test_what_a_disk_refused_is_told_from_a_file_that_is_wrong() -> None:
    refused = StorageFault("predictions: Disk quota exceeded")
    refused.__cause__ = OSError(errno.EDQUOT, "Disk quota exceeded")

    assert is_of_the_disk(refused)
    assert not is_of_the_disk(StorageFault("table abc: incomplete"))


def test_an_error_that_was_raised_from_itself_ends_the_search() -> None:
    odd = LibraryError("odd")
    odd.__cause__ = odd

    assert kind_of(odd, "gpu") == "error"


def test_a_table_too_large_for_memory_is_memory_and_not_storage() -> None:
    fault = StorageFault("table t0: Cannot allocate memory")
    fault.__cause__ = OSError(errno.ENOMEM, "Cannot allocate memory")

    assert kind_of(fault, "cpu") == "out_of_memory"


#: As CatBoost 1.2.10 ends a process on a full H200, with the stacks that follow.
ABORTED = """Warning: less than 75% GPU memory available for training. Free: 92.8 Total: 143155.9
Terminating due to uncaught exception 0x28d55040410    what() -> "catboost/cuda/cuda_lib/cuda_base.cpp:16: CUDA error 2: out of memory"
 of type TCudaException
Fatal Python error: Aborted

Thread 0x00007f2c (most recent call first):
  File "catboost/core.py", line 2010 in _fit
"""  # noqa: E501


def test_the_words_of_a_library_that_aborts_are_found_among_the_stacks() -> None:
    words = words_of_abort(ABORTED)
    assert words.startswith("Terminating due to uncaught exception")
    assert is_of_gpu_memory(words)


@pytest.mark.parametrize(("before", "left"), [("", ""), ("printed long ago\n" * 9, "printed long ago\n" * 9),
                                              ("printed long ago\n" * 90, "")])
def test_the_words_are_found_in_a_log_that_was_cut_since_the_worker_began(
    tmp_path: Path, before: str, left: str,
) -> None:
    log = tmp_path / "worker-gpu0.log"
    log.write_text(left + ABORTED)
    worker = _Worker(process=None, end=None, log=log, written=len(before))  # type: ignore[arg-type]
    assert worker.words_of_abort() == words_of_abort(ABORTED)


@pytest.mark.parametrize(("log", "words"), [
    ("one\nterminate called after throwing an instance of 'std::logic_error'\n  what():  bad\nFatal Python error",
     "terminate called after throwing an instance of 'std::logic_error'"),
    ("malloc(): unaligned tcache chunk\nFatal Python error: Aborted", "malloc(): unaligned tcache chunk"),
    ("Fatal Python error: Aborted", ""), ("", ""),
])
def test_what_says_nothing_of_a_card_is_told_as_it_is(log: str, words: str) -> None:
    assert words_of_abort(log) == words
    assert not is_of_gpu_memory(words)
