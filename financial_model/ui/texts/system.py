"""System: the checks of this machine, the page's own settings, the log."""

TEXTS = {
    "check.python": ("Python", "Python"),
    "check.packages": ("依赖包", "Packages"),
    "check.torch": ("PyTorch", "PyTorch"),
    "check.gpu": ("GPU", "GPU"),
    "check.attention": ("注意力", "Attention"),
    "check.triton": ("Triton", "Triton"),
    "check.compiler": ("编译器", "Compiler"),
    "check.workspace": ("工作区", "Workspace"),
    "check.disk": ("磁盘剩余", "Free disk"),
    "check.port": ("端口", "Port"),
    "check.servers": ("行情服务器", "Quote servers"),
}
