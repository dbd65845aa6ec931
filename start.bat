@echo off
rem Windows: double-click makes .venv, installs once and opens the panel; "start.bat test" runs the tests.
rem HERMES_TORCH_INDEX: another index for torch, such as a mirror. HERMES_PYTHON: the Python to use.
rem ASCII only, and goto instead of blocks in parentheses: cmd reads this file in the machine's own code page.
setlocal
set PYTHONUTF8=1
cd /d "%~dp0"
if errorlevel 1 goto no_folder

if exist ".venv\Scripts\python.exe" goto have_venv
set "PY=%HERMES_PYTHON%"
if defined PY goto check_python
set "PY=py -3"
%PY% --version >nul 2>nul
if not errorlevel 1 goto check_python
set "PY=python"
%PY% --version >nul 2>nul
if errorlevel 1 goto no_python
:check_python
%PY% -c "import sys; sys.exit(sys.version_info < (3, 11))"
if errorlevel 1 goto no_python
echo Making .venv ...
%PY% -m venv ".venv"
if errorlevel 1 goto failed

:have_venv
set "VPY=%~dp0.venv\Scripts\python.exe"
set "STAMP=%~dp0.venv\installed-panel"
set "EXTRA="
if /i "%~1"=="test" set "STAMP=%~dp0.venv\installed-tests"
if /i "%~1"=="test" set "EXTRA=requirements-test.txt"
copy /b requirements.txt "%TEMP%\hermes-wanted" >nul
if errorlevel 1 goto failed
if defined EXTRA copy /b requirements.txt + "%EXTRA%" "%TEMP%\hermes-wanted" >nul
if errorlevel 1 goto failed
if not exist "%STAMP%" goto install
fc /b "%TEMP%\hermes-wanted" "%STAMP%" >nul 2>nul
if not errorlevel 1 goto installed

:install
echo Installing, once; this takes a few minutes ...
"%VPY%" -m pip install --quiet --upgrade pip
if errorlevel 1 goto failed
set "INDEX=%HERMES_TORCH_INDEX%"
if defined INDEX goto torch_from_index
where nvidia-smi >nul 2>nul
if errorlevel 1 goto torch_plain
nvidia-smi -L >nul 2>nul
if errorlevel 1 goto torch_plain
rem The build of torch in pip's default index is CPU only on Windows.
set "INDEX=https://download.pytorch.org/whl/cu130"
:torch_from_index
if /i "%INDEX%"=="none" goto torch_plain
echo An NVIDIA card was found: the CUDA build of torch is several GB.
"%VPY%" -m pip install --quiet "torch>=2.13,<2.14" --index-url "%INDEX%"
if not errorlevel 1 goto torch_done
echo The CUDA build could not be fetched from %INDEX%
echo Set HERMES_TORCH_INDEX to a mirror to try another. Going on with the CPU build.
:torch_plain
"%VPY%" -m pip install --quiet "torch>=2.13,<2.14"
if errorlevel 1 goto failed
:torch_done
"%VPY%" -m pip install --quiet -r requirements.txt
if errorlevel 1 goto failed
if not defined EXTRA goto confirm
"%VPY%" -m pip install --quiet -r "%EXTRA%"
if errorlevel 1 goto failed
:confirm
where nvidia-smi >nul 2>nul
if errorlevel 1 goto stamp
"%VPY%" -c "import torch, sys; x = torch.randn(256, 256, device='cuda'); sys.exit(not bool(torch.isfinite((x @ x).sum()).item()))" 2>nul
if errorlevel 1 echo The card cannot be used by torch; the CPU is used. Update the NVIDIA driver, delete .venv and start again.
:stamp
copy /y "%TEMP%\hermes-wanted" "%STAMP%" >nul
if errorlevel 1 goto failed

:installed
if /i "%~1"=="test" goto test
"%VPY%" gradio_app.py %*
if errorlevel 1 goto failed
goto done

:test
"%VPY%" -m pytest
if errorlevel 1 goto failed
goto done

:no_folder
echo This folder cannot be entered: "%~dp0"
goto failed

:no_python
echo Python 3.11 or newer was not found. Install it from https://www.python.org/downloads/
echo and tick "Add python.exe to PATH", then start again.

:failed
echo.
echo It ended with an error; the lines above say why.
pause
exit /b 1

:done
endlocal
