"""What kind of failure an exception is, by its type and by the words that libraries use."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from optimizer.errors import NotFiniteFault, StorageFault, WrongDeviceFault

#: A card that ran out of memory; the process can go on. Asked before `_GPU`, whose words these texts hold too.
_GPU_MEMORY = re.compile(
    r"cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY|TOutOfMemoryError|CU\w+_STATUS_ALLOC_FAILED"
    r"|CUDA\b.{0,200}out of (?:the )?memory|CL_MEM_OBJECT_ALLOCATION_FAILURE|Memory Object Allocation Failure"
    r"|CL_INVALID_BUFFER_SIZE|Invalid Buffer Size|not enough memory for|out of memory\. Requested"
    r"|Memory allocation error on worker"
    # What NVIDIA's OpenCL says on a full card, host or not.
    r"|CL_OUT_OF_HOST_MEMORY|Out of Host Memory",
    re.IGNORECASE | re.DOTALL,
)
#: Anything else from below CUDA or OpenCL: nothing that this process asks of the card can be trusted any more.
_GPU = re.compile(
    r"CUDA error|cudaError|CUDA_ERROR_|\[CUDA\]|CUDA driver|CUDA runtime|CUDA-capable"
    r"|CUDNN|CUBLAS|CUSOLVER|CUSPARSE|CUFFT|\bNCCL"
    r"|illegal memory access|unspecified launch failure|misaligned address|device-side assert"
    r"|uncorrectable ECC|fallen off the bus|catboost/cuda/cuda_lib/"
    r"|OpenCL error|\bCL_[A-Z]+_[A-Z_]+|boost::compute|No OpenCL device",
    re.IGNORECASE,
)
#: The whole of what Boost.Compute says, through LightGBM, of a status of OpenCL.
_OPENCL_WORDS = re.compile(
    r"Out of Resources|Map Failure|Memory Copy Overlap|Build Program Failure|Compiler Not Available"
    r"|Device Not (?:Found|Available)|Unknown OpenCL Error \(-?\d+\)"
    r"|Invalid (?:Value|Device|Context|Command Queue|Memory Object|Program|Kernel|Kernel Arguments|Event|Operation"
    r"|Work Group Size|Host Pointer)",
    re.IGNORECASE,
)
#: What a C++ runtime writes before it aborts a process.
_ABORT = re.compile(r"terminate called|uncaught exception|what\(\)|assertion .*failed|malloc\(\)|free\(\)",
                    re.IGNORECASE)
#: Memory of the machine, by libraries that raise an error of their own for it.
_MEMORY = re.compile(
    r"std::bad_alloc|\bbad[_ ]alloc|bad allocation|unable to allocate|cannot allocate memory|failed to allocate"
    r"|not enough memory|out of memory attempting to allocate|out of memory in 'new'",
    re.IGNORECASE,
)
#: What an operating system says of a disk, or of a file system that has gone.
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE, errno.EFBIG, errno.ENOTCONN})


def kind_of(error: BaseException, device: str) -> str:
    """The kind of a failure, one of those of `optimizer.messages.JobFailed.kind`.

    Args:
        device: ``cpu`` or ``gpu``, what the job was to run on; only there are the texts of GPU libraries believed.
    """
    if isinstance(error, WrongDeviceFault):
        return "wrong_device"
    if isinstance(error, NotFiniteFault):
        return "not_finite"
    if device == "gpu":
        texts = [(str(e), f"{type(e).__name__}: {e}") for e in _causes(error)]
        if any(is_of_gpu_memory(named) for _, named in texts):
            return "gpu_out_of_memory"
        if any(_GPU.search(named) or _OPENCL_WORDS.fullmatch(text.strip()) for text, named in texts):
            return "gpu_lost"
    if any(isinstance(e, MemoryError) or (isinstance(e, OSError) and e.errno == errno.ENOMEM)
           or _MEMORY.search(str(e)) for e in _causes(error)):
        return "out_of_memory"
    if any(isinstance(e, StorageFault) or (isinstance(e, OSError) and e.errno in _DISK) for e in _causes(error)):
        return "storage"
    return "error"


def words_of_abort(log: str) -> str:
    """The line in which a library said why it would abort the process; empty where there is none."""
    for pattern in (_GPU_MEMORY, _GPU, _ABORT):
        for line in log.splitlines():
            if pattern.search(line):
                return " ".join(line.split())[:300]
    return ""


def is_of_gpu_memory(words: str) -> bool:
    """Whether these are the words of a card that ran out of memory."""
    return bool(_GPU_MEMORY.search(words))


def is_of_the_disk(error: BaseException) -> bool:
    """Whether the operating system refused a file for a reason that lies in the disk or its quota."""
    return any(isinstance(e, OSError) and e.errno in _DISK for e in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, and those that it was raised from."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__
